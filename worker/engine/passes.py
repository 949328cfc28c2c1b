"""How much of one pass of the event loop the answers of destinations may take.

Everything that is ready runs before anything that becomes ready meanwhile. When 16 batches of 100 are answered at once,
settling them takes half a second on a busy machine, and the next step of a commit comes behind all of it. A commit has
several steps: a crash would repeat seconds of work. So answers take turns, and those that are left wait for the next
pass.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

SECONDS = 0.02
"""Of one pass, for answers; one is always settled."""
UNKNOWN = 1_000
"""Answers in one pass, before it is known how long they take."""


class PassLimit:
    """First come, first served. How long answers take is reckoned from the last pass in which any was settled."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._per_pass = UNKNOWN
        self._taken = 0
        self._began = 0.0
        self._counting = False

    async def turn(self) -> None:
        """Returns when the caller may settle its answer: at once while there is time left in this pass."""
        if not self._counting:
            self._counting = True
            self._begin_pass()
        if not self._waiting and self._taken < self._per_pass:
            self._taken += 1
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        await waiter

    def _begin_pass(self) -> None:
        """Those whose turn it is run before the pass ends: the loop is told of both here, in this order."""
        self._began, self._taken = self._monotonic(), 0
        while self._waiting and self._taken < self._per_pass:
            waiter = self._waiting.popleft()
            if not waiter.done():  # else its call was cut off
                waiter.set_result(None)
                self._taken += 1
        asyncio.get_running_loop().call_soon(self._end_pass)

    def _end_pass(self) -> None:
        took = self._monotonic() - self._began
        if self._taken and took > 0:
            self._per_pass = max(1, int(SECONDS * self._taken / took))
        if self._taken or self._waiting:
            self._begin_pass()
        else:
            self._counting = False
