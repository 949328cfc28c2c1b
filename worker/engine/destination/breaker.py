"""Stops the calls to a destination that is out, so that it blocks only itself. One per connection; told the time.

Open: nothing is attempted, nothing is dead-lettered, no attempt is spent; a probe after growing pauses lets it
half-open, one call at a time; the first that the vendor answers closes it.

Quarantine is another thing: the vendor answers, and refuses nearly everything (a schema changed at the destination); or
nearly everything that comes is hopeless before any call (a producer went wrong). Nothing more is drained into the dead
letters until an operator resumes.
"""

from __future__ import annotations

from collections import deque
from typing import Literal

State = Literal["closed", "open", "half-open"]

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 30.0
FAILING_WINDOW = 40
FAILING_LEAST = 20
"""Calls of which more than half failed open the breaker: an outage that answers 503 is an outage."""
REJECTED_WINDOW = 200
REJECTED_SHARE = 0.5


class Breaker:
    def __init__(self) -> None:
        self.state: State = "closed"
        self.reason = ""
        self._pause = FIRST_PAUSE
        self._probe_at = 0.0
        self._calls: deque[bool] = deque(maxlen=FAILING_WINDOW)

    @property
    def probe_at(self) -> float:
        """When to probe next, while open."""
        return self._probe_at

    def allows(self, out: int) -> bool:
        """May another call start while ``out`` are under way?"""
        return self.state == "closed" or (self.state == "half-open" and out == 0)

    def down(self, now: float, reason: str, after: float | None = None) -> bool:
        """The destination is out; True when this opened the breaker."""
        opened = self.state != "open"
        if self.state == "half-open":
            self._pause = min(LONGEST_PAUSE, self._pause * 2)
        if opened or after is not None:
            self._probe_at = max(self._probe_at if not opened else 0.0, now + max(self._pause, after or 0.0))
        self.state = "open"
        self.reason = reason
        return opened

    def probed(self, now: float, *, up: bool, reason: str = "", after: float | None = None) -> None:
        """A probe came back."""
        if self.state != "open":
            return
        if up:
            self.state = "half-open"
            return
        self.reason = reason or self.reason
        self._pause = min(LONGEST_PAUSE, self._pause * 2)
        self._probe_at = now + max(self._pause, after or 0.0)

    def answered(self) -> bool:
        """The vendor answered a call for what it was, yes or no; True when this closed the breaker."""
        self._calls.append(True)
        closed = self.state == "half-open"
        if closed:
            self.state = "closed"
            self._pause = FIRST_PAUSE
            self._calls.clear()
        return closed

    def failed(self, now: float, reason: str) -> bool:
        """A call failed in a way that may be the destination's; True when this opened the breaker."""
        self._calls.append(False)
        failures = self._calls.count(False)
        if self.state == "half-open" or (len(self._calls) >= FAILING_LEAST and failures * 2 > len(self._calls)):
            self._calls.clear()
            return self.down(now, reason)
        return False


class Quarantine:
    """Counts refusals: True from ``outcome`` when more than half of the last 200 events were refused."""

    def __init__(self) -> None:
        self._refused: deque[bool] = deque(maxlen=REJECTED_WINDOW)
        self._count = 0

    def outcome(self, *, refused: bool) -> bool:
        if not refused and not self._count:
            return False  # the common case; what is in the window was fine, too
        if len(self._refused) == REJECTED_WINDOW and self._refused[0]:
            self._count -= 1
        self._refused.append(refused)
        self._count += refused
        return self._count > REJECTED_WINDOW * REJECTED_SHARE

    def reset(self) -> None:
        self._refused.clear()
        self._count = 0
