"""Requests per sliding window: enforced where a rate is given, always measured."""

from __future__ import annotations

from collections import deque


class Quota:
    """``rate`` requests per ``window`` seconds; a rate of 0 takes everything and still measures.

    ``busiest``: the most requests ever seen within any window; ``busiest_accepted`` of those let through.
    """

    def __init__(self, rate: int, window: float) -> None:
        self.rate = rate
        self.window = window
        self.busiest = 0
        self.busiest_accepted = 0
        self.refused = 0
        self._seen: deque[float] = deque()
        self._accepted: deque[float] = deque()

    def take(self, now: float) -> float:
        """0 when the request may pass, else seconds until the next may."""
        self.busiest = max(self.busiest, _slide(self._seen, now, self.window))
        if self.rate and len(self._accepted) >= self.rate:
            wait = self._accepted[0] + self.window - now
            if wait > 0:
                self.refused += 1
                return wait
        self.busiest_accepted = max(self.busiest_accepted, _slide(self._accepted, now, self.window))
        return 0.0

    @property
    def remaining(self) -> int:
        return max(0, self.rate - len(self._accepted))


def _slide(times: deque[float], now: float, window: float) -> int:
    times.append(now)
    while times[0] <= now - window:
        times.popleft()
    return len(times)
