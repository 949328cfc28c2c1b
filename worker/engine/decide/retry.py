"""How often and how late a record is tried again. tenacity's wait strategies do the arithmetic; the dice are ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tenacity import RetryCallState, Retrying, wait_exponential
from tenacity.wait import wait_base

from connectors.contract import RetryKind


@dataclass(frozen=True, slots=True)
class Line:
    """``more`` attempts after the first; the n-th wait is uniform in [0, ceiling(n)].

    Full jitter, as in https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/.
    """

    more: int
    wait: wait_base

    def ceiling(self, attempt: int) -> float:
        """Seconds: the longest wait after attempt ``attempt`` (1 = the first)."""
        return float(self.wait(_call_state(attempt)))


def _call_state(attempt: int) -> RetryCallState:
    state = RetryCallState(retry_object=_NO_CALL, fn=None, args=(), kwargs={})
    state.attempt_number = attempt
    return state


_NO_CALL: Any = Retrying()

SEED_LINES: Mapping[RetryKind, Line] = {
    # The seed system's documented retries: no answer, 5 more within 50 s; a broken connection, 2 more within 60 s.
    # It does nothing on 5xx; an outage is the breaker's business, so these few are for the single unlucky record.
    "no_answer": Line(5, wait_exponential(multiplier=1, max=50)),
    "connection": Line(2, wait_exponential(multiplier=1, max=60)),
    "server": Line(8, wait_exponential(multiplier=1, max=300)),
}

SHORT_LINES: Mapping[RetryKind, Line] = {
    # ``timeout=True``: somebody waits in front of a screen.
    "no_answer": Line(0, wait_exponential(max=1)),
    "connection": Line(0, wait_exponential(max=1)),
    "server": Line(0, wait_exponential(max=1)),
}

LONGEST_WAIT = 24 * 3_600.0
"""Seconds: a vendor that asks for more (HubSpot's 477 asks for up to 24 h) is asked again after a day."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Server waits, in seconds at most: 1, 2, 4, 8, 16, 32, 64, 128, then the letter."""

    lines: Mapping[RetryKind, Line] = field(default_factory=lambda: SEED_LINES)
    short_lines: Mapping[RetryKind, Line] = field(default_factory=lambda: SHORT_LINES)

    def delay(self, kind: RetryKind, attempt: int, roll: float, *, after: float | None, short: bool) -> float | None:
        """Seconds until the next attempt, or None when attempt ``attempt`` was the last.

        ``after``, the vendor's own word, wins over our guess but never over the count.
        """
        line = (self.short_lines if short else self.lines)[kind]
        if attempt > line.more:
            return None
        if after is not None:
            return min(max(after, 0.0), LONGEST_WAIT)
        return roll * line.ceiling(attempt)
