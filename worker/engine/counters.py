"""What the worker counts as it goes, in plain integers; ``worker/observe/metrics.py`` reads them when somebody asks.

An event costs one dictionary entry here and one there, well under a microsecond: the metrics library's own counters
take a lock each.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict

CALL_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
COMMIT_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Histogram:
    """How many observations fell into each bucket; the last bucket takes what is above all bounds."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.total += seconds

    def cumulative(self) -> list[tuple[str, float]]:
        """Bound and how many were at or below it, as Prometheus has it."""
        rows, below = [], 0
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            below += count
            rows.append((bound, float(below)))
        return rows


class Counters:
    """Of one worker, for as long as it lives: connections come and go, their numbers stay.

    ``attempts`` counts events by (connection, operation, what came of the attempt). ``calls``: by connection.
    """

    def __init__(self) -> None:
        self.attempts: defaultdict[tuple[str, str, str], int] = defaultdict(int)
        self.calls: defaultdict[str, Histogram] = defaultdict(lambda: Histogram(CALL_SECONDS))
