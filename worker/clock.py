"""Time and dice, handed in. Nothing else in the worker looks at the clock or rolls."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
import time
from collections.abc import Callable
from typing import Protocol


class Timer(Protocol):
    def cancel(self) -> None: ...


class Clock(Protocol):
    def now(self) -> float:
        """Seconds since the epoch; may jump. For what is written down."""

    def monotonic(self) -> float:
        """Seconds that never jump. For what waits."""

    def roll(self) -> float:
        """Uniform in [0, 1)."""

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        """Run the callback on the event loop when ``monotonic()`` reaches ``when``."""

    async def sleep(self, seconds: float) -> None: ...


class SystemClock:
    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    def roll(self) -> float:
        return random.random()

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        return asyncio.get_running_loop().call_later(max(0.0, when - time.monotonic()), callback)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class _FakeTimer:
    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self.callback = None


class FakeClock:
    """Stands still until a test moves it; ``advance`` fires the timers on the way, in order."""

    def __init__(self, now: float = 1_700_000_000.0, seed: int = 0) -> None:
        self._epoch = now
        self._elapsed = 0.0
        self._timers: list[tuple[float, int, _FakeTimer]] = []
        self._sequence = itertools.count()
        self._dice = random.Random(seed)

    def now(self) -> float:
        return self._epoch + self._elapsed

    def monotonic(self) -> float:
        return self._elapsed

    def roll(self) -> float:
        return self._dice.random()

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        timer = _FakeTimer(callback)
        heapq.heappush(self._timers, (when, next(self._sequence), timer))
        return timer

    async def sleep(self, seconds: float) -> None:
        woken = asyncio.get_running_loop().create_future()
        self.call_at(self._elapsed + seconds, lambda: None if woken.done() else woken.set_result(None))
        await woken

    def next_timer(self) -> float | None:
        """When the next timer is due, in monotonic seconds; None when nothing waits."""
        while self._timers and self._timers[0][2].callback is None:
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    def advance(self, seconds: float) -> None:
        end = self._elapsed + seconds
        while (due := self.next_timer()) is not None and due <= end:
            _, _, timer = heapq.heappop(self._timers)
            self._elapsed = max(self._elapsed, due)
            if timer.callback is not None:
                timer.callback()
        self._elapsed = end
