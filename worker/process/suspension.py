"""A worker that slept (a suspended machine, a stopped container) does not know what is still its own.

Its partitions may have gone to another, and the log tells it so a moment after it wakes: too late for a call that
starts at once and puts an old value over the newest.
"""

from __future__ import annotations

ASLEEP_SECONDS = 2.0
"""Without a sign of life; less than any log waits before it gives partitions to another (SQLite 3 s, Kafka 6 s)."""


class SuspensionDetector:
    """Told the time whenever the loop does something. ``naps``: how often it slept."""

    def __init__(self, now: float) -> None:
        self.naps = 0
        self.sure = True
        self._seen = now

    def sign(self, now: float) -> bool:
        """Note that the loop runs. False after a sleep, until ``confirmed``."""
        if now - self._seen > ASLEEP_SECONDS:
            self.naps += 1
            self.sure = False
        self._seen = now
        return self.sure

    def confirmed(self, nap: int) -> None:
        """The log has said what is ours; it counts unless there was another nap meanwhile."""
        self.sure = self.sure or nap == self.naps
