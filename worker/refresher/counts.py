"""What a refresher counts as it goes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from worker.engine.counters import Histogram
from worker.refresher.runs import State

RUN_SECONDS = (1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0, 7_200.0)


class RefreshCounts:
    """By connection: requests read, and how many became dead letters; runs by how they ended; rows by object."""

    def __init__(self) -> None:
        self.requests: defaultdict[str, int] = defaultdict(int)
        self.dead_lettered: defaultdict[str, int] = defaultdict(int)
        self.runs: defaultdict[tuple[str, State], int] = defaultdict(int)
        self.rows: defaultdict[tuple[str, str], int] = defaultdict(int)
        self.seconds: defaultdict[str, Histogram] = defaultdict(lambda: Histogram(RUN_SECONDS))

    def ended(self, connection: str, state: State, seconds: float, rows: Mapping[str, int]) -> None:
        self.runs[connection, state] += 1
        self.seconds[connection].observe(seconds)
        for name, count in rows.items():
            self.rows[connection, name] += count
