"""How much memory processes take at most, seen by looking again and again."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

from tests.benchmarks.processes import memory_mb

LOOK_SECONDS = 0.5


class Footprint:
    """A context manager; ``peak_mb`` afterwards: the most that these processes and their children had at one time.

    A kernel keeps a process's highest resident size, but not the share of it that is its own: so it is sampled.
    """

    def __init__(self, pids: list[int]) -> None:
        self.peak_mb = 0.0
        self._pids = pids
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        ended = False
        while not ended:
            ended = self._end.wait(LOOK_SECONDS)  # one last look at the end, when most has been seen
            self.peak_mb = max(self.peak_mb, memory_mb(self._pids))
