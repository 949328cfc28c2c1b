"""The answer of a vendor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

MIB: Final = 1_048_576
MAX_READ: Final = 8 * MIB
"""The most bytes that are read of the answer to a read."""
EXCERPT: Final = 16_384


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer. ``truncated``: the body is not complete (too large, or the connection broke after the status)."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""
    truncated: bool = False
    raw_headers: tuple[tuple[bytes, bytes], ...] = field(default=(), repr=False)
    parsed: list[Any] = field(default_factory=list, init=False, repr=False, compare=False)
    """The body as JSON, once it has been parsed."""
