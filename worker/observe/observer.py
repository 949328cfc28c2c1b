"""Looks at the whole worker once a second: what became of its connections, and what holds up its partitions.

It is also what the metrics are read from; nothing here changes anything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

from topics.errors import LogUnavailable
from topics.event.result import StateChange
from topics.log import Log, Partition
from worker.clock import Clock
from worker.engine.counters import Counters
from worker.engine.intake.router import Router
from worker.engine.settlement.committer import Committer
from worker.engine.settlement.ledger import Ledger
from worker.observe.head_of_line import HeadOfLine
from worker.observe.states import States

LOOK_SECONDS = 1.0
ASK_SECONDS = 10.0
"""How old may be what the log was asked for the metrics and for readiness."""
ANSWER_SECONDS = 2.0

T = TypeVar("T")


class CachedProbe(Generic[T]):
    """Asks something that blocks, off the loop: one at a time, and not again before ``every`` seconds have passed."""

    def __init__(self, ask: Callable[[], T], clock: Clock, every: float = ASK_SECONDS) -> None:
        self._ask = ask
        self._clock = clock
        self._every = every
        self._asked_at = float("-inf")
        self._asking: asyncio.Task[T] | None = None

    async def answer(self, seconds: float = ANSWER_SECONDS) -> T:
        """The answer, perhaps of a moment ago. Raises ``LogUnavailable``, too when it takes longer than ``seconds``."""
        now = self._clock.monotonic()
        failed = self._asking is not None and self._asking.done() and self._asking.exception() is not None
        if self._asking is None or (self._asking.done() and (failed or now - self._asked_at >= self._every)):
            self._asked_at = now
            self._asking = asyncio.create_task(asyncio.to_thread(self._ask))
        done, _ = await asyncio.wait({self._asking}, timeout=seconds)
        if not done:
            raise LogUnavailable(f"the log has not answered for {seconds:.0f} s")
        return self._asking.result()


class Observer:
    """``tell`` is told of every change in a connection's state. ``window``: see ``head_of_line.blocking``."""

    def __init__(
        self,
        *,
        router: Router,
        committer: Committer,
        ledger: Ledger,
        counters: Counters,
        log: Log,
        clock: Clock,
        window: int,
        tell: Callable[[StateChange], None],
        refusal: Callable[[str], str | None],
    ) -> None:
        self.router = router
        self.committer = committer
        self.ledger = ledger
        self.counters = counters
        self.clock = clock
        self.states = States(clock, tell, refusal)
        self.head_of_line = HeadOfLine(window)
        self.ends: dict[Partition, int] = {}
        self._owned: list[Partition] = []
        self._ask_ends = CachedProbe(lambda: log.end_offsets(self._owned), clock)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self.clock.sleep(LOOK_SECONDS)
            self.look()

    def look(self) -> None:
        self.states.look(self.router.intakes.values())
        self.head_of_line.look(
            (assignment, self.committer.metadata(assignment.partition))
            for assignment in self.router.assignments.values()
        )

    async def refresh_ends(self) -> None:
        """Where the partitions end, for the lag; what the log does not say is left out."""
        self._owned = list(self.router.assignments)
        try:
            self.ends = await self._ask_ends.answer() if self._owned else {}
        except LogUnavailable:
            self.ends = {}  # the worker itself has said so
