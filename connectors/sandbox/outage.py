"""One stretch of time in which the sandbox is out: nothing listens, or every answer is 503."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Outage:
    """``seconds`` long, begins ``at`` seconds after the start or after so many requests, whichever is given.

    ``refuse``: the listening socket is closed and every connection is reset. ``unavailable``: 503.
    """

    seconds: float
    after_requests: int | None = None
    at: float | None = None
    kind: Literal["refuse", "unavailable"] = "refuse"
