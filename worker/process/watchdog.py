"""Notices an event loop that stands still, from a thread beside it, and shows where it stands."""

from __future__ import annotations

import asyncio
import faulthandler
import sys
import threading
from collections.abc import Callable

from worker.clock import Clock
from worker.log_events import logger

STALLED_SECONDS = 5.0
LOOK_SECONDS = 1.0


class StallDetector:
    """Told the time of each look and of the loop's last tick. ``limit``: seconds without a tick that are a stall."""

    def __init__(self, limit: float, now: float) -> None:
        self._limit = limit
        self._looked = self._since = now
        self._ticked = now
        self.stalled = False

    def look(self, now: float, ticked: float) -> float | None:
        """Seconds that the loop has stood still when that begins to be a stall, or when a stall ended; else None.

        A look that is late itself (the process was stopped, the machine slept) says nothing about the loop.
        """
        late, self._looked = now - self._looked > self._limit, now
        if ticked != self._ticked:
            stood, self._ticked, self._since = ticked - self._since, ticked, ticked
            ended, self.stalled = self.stalled, False
            return stood if ended else None
        if late:
            self._since = now
        if self.stalled or now - self._since < self._limit:
            return None
        self.stalled = True
        return now - self._since


class Watchdog:
    """``show`` writes the stacks of all threads. ``start`` on the loop that is watched; ``stop`` from anywhere."""

    def __init__(self, clock: Clock, *, limit: float = STALLED_SECONDS, show: Callable[[], None] | None = None) -> None:
        self._clock = clock
        self._limit = limit
        self._show = show or _show
        self._ticked = clock.monotonic()
        self._stalls = StallDetector(limit, self._ticked)
        self._stop = threading.Event()
        self._handle: asyncio.TimerHandle | None = None
        self._thread = threading.Thread(target=self._run, name="writeback-watchdog", daemon=True)

    def start(self) -> None:
        self._tick()
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._handle is not None:
            self._handle.cancel()

    def _tick(self) -> None:
        self._ticked = self._clock.monotonic()
        self._handle = asyncio.get_running_loop().call_later(self._limit / 10, self._tick)

    def _run(self) -> None:
        while not self._stop.wait(min(LOOK_SECONDS, self._limit / 5)):
            self.look()

    def look(self) -> None:
        seconds = self._stalls.look(self._clock.monotonic(), self._ticked)
        if seconds is None:
            return
        if self._stalls.stalled:
            logger().error("loop.stalled", seconds=round(seconds, 1))
            self._show()
        else:
            logger().warning("loop.resumed", seconds=round(seconds, 1))


def _show() -> None:
    faulthandler.dump_traceback(sys.__stderr__ or 2, all_threads=True)
