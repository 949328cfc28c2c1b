"""Partitions that are held because a person has to decide, and what ends it.

A worker does not decide alone what cannot be taken back: to deliver everything again because the commits are gone, to
pass what cannot be read, to dead-letter what is perhaps another store's. It holds the partition, says so, and waits for
an order (``topics/store/orders.py``). An order is carried out, committed and only then answered: a crash repeats it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from topics.errors import LogError, StoreUnavailable
from topics.log import Commit, Log, Partition, Unreadable
from topics.names import slug_of
from topics.store.orders import Order, OrderKind, Orders
from worker.clock import Clock
from worker.engine.intake.evidence import Evidence, gather
from worker.engine.intake.partitions import Partitions
from worker.engine.intake.pauses import PartitionPauses
from worker.engine.intake.router import Router
from worker.engine.lane.assignment import Assignment, PartitionHold
from worker.engine.progress.offsets import Progress
from worker.engine.settlement.committer import Committer
from worker.engine.settlement.outcomes import Outcomes
from worker.log_events import logger
from worker.process.background import BackgroundTasks

AGAIN_SECONDS = 1.0
"""Between two tries to ask a log or a store that is away."""
EXAMINED = "examined"
"""The reason of a pause: it stays while the commits of a partition are gone."""
GOES_ON: Mapping[str, tuple[OrderKind, ...]] = {"commits": ("ledger", "start", "end"), "unreadable": ("skip",)}
"""By kind of hold, the orders that end it."""


class PartitionHolds:
    """Holds them, and carries out what was ordered about them."""

    def __init__(
        self,
        log: Log,
        orders: Orders | None,
        *,
        router: Router,
        partitions: Partitions,
        committer: Committer,
        outcomes: Outcomes,
        pauses: PartitionPauses,
        clock: Clock,
        tasks: BackgroundTasks,
    ) -> None:
        """``orders``: what operators order; without it partitions are held until it is known."""
        self._log = log
        self._orders = orders
        self._router = router
        self._pauses = pauses
        self._clock = clock
        self._partitions = partitions
        self._committer = committer
        self._outcomes = outcomes
        self._tasks = tasks
        self._evidence: dict[Partition, Evidence] = {}
        self._obeying: set[Partition] = set()

    # -- what is held -------------------------------------------------------------------------------------------------

    def examine(self, assignments: Sequence[Assignment]) -> None:
        """They have no commit: are they new, or are their commits gone? Nothing goes out before that is known.

        What is new is committed before anything of it goes out: a commit that is missing later is one that is gone.
        """
        for assignment in assignments:
            assignment.withheld = assignment.uncommitted = True
            self._pauses.hold(assignment, EXAMINED)
        self._tasks.spawn(self._examine(assignments))

    async def _examine(self, assignments: Sequence[Assignment]) -> None:
        while owned := {assignment.partition: assignment for assignment in assignments if assignment.open}:
            try:
                now_ms = int(self._clock.now() * 1_000)
                found = await asyncio.to_thread(gather, self._log, list(owned), now_ms)
            except LogError as error:
                logger().warning("log.unavailable", error=str(error))
                await self._clock.sleep(AGAIN_SECONDS)
                continue
            for partition, evidence in found.items():
                if owned[partition].open:
                    self._judge(owned[partition], evidence)
            return

    def _judge(self, assignment: Assignment, evidence: Evidence) -> None:
        if evidence.delivered_before:
            self._evidence[assignment.partition] = evidence
            self.hold(assignment, PartitionHold("commits", _commits_gone(assignment.partition, evidence)))
        else:
            self._tasks.spawn(self._begin(assignment, evidence.start))

    async def _begin(self, assignment: Assignment, start: int) -> None:
        assignment.progress.pass_to(start)
        assignment.uncommitted = False
        self._committer.insist(assignment)
        await assignment.known()
        assignment.withheld = False
        self._pauses.release(assignment, EXAMINED)

    def unreadable(self, found: Unreadable) -> None:
        """The log cannot hand out what lies there, and reads no further. What an operator has passed, stays passed."""
        assignment = self._router.assignments.get(found.partition)
        if assignment is None:
            return
        passed_to = assignment.progress.passed(found.offset)
        if passed_to is not None:
            self._go_past(assignment, passed_to)
        elif assignment.hold is None:
            self.hold(assignment, PartitionHold("unreadable", _cannot_be_read(found), found))

    def hold(self, assignment: Assignment, hold: PartitionHold) -> None:
        assignment.hold = hold
        logger().error("partition.held", partition=str(assignment.partition), kind=hold.kind, reason=hold.reason)

    def _go_past(self, assignment: Assignment, to: int) -> None:
        self._pauses.go_to(assignment, to)
        assignment.progress.pass_to(to)
        self._committer.insist(assignment)

    # -- what ends it -------------------------------------------------------------------------------------------------

    async def obey(self) -> None:
        """Carry out what was ordered, or answer why not."""
        for assignment in self._router.assignments.values():
            self._look_again(assignment)
        if self._orders is None:
            return
        try:
            orders = await asyncio.to_thread(self._orders.waiting)
        except StoreUnavailable:
            return  # who watches the connections says so
        for partition, order in orders.items():
            owned = self._router.assignments.get(partition)
            if owned is not None and partition not in self._obeying:
                self._obeying.add(partition)
                self._tasks.spawn(self._carry_out(owned, order))

    def _look_again(self, assignment: Assignment) -> None:
        """What could not be read may be read after all: another broker has it, the file was repaired."""
        hold = assignment.hold
        if hold is not None and hold.unreadable is not None and assignment.progress.top > hold.unreadable.offset:
            assignment.hold = None

    async def _carry_out(self, assignment: Assignment, order: Order) -> None:
        partition = assignment.partition
        try:
            if order.kind == "bury":
                answer = self._buried(assignment, order)
            elif (hold := assignment.hold) is None:
                answer = self._unheld(assignment, order)
            elif not _meant(order, hold):
                answer = f"it is not held for that now: {hold.reason}"
            else:
                answer = await (
                    self._pass(assignment, hold) if order.kind == "skip" else self._go_on(assignment, order)
                )
            if answer:
                await self._answer(order, answer)
        finally:
            self._obeying.discard(partition)

    def _unheld(self, assignment: Assignment, order: Order) -> str:
        """A worker that has just begun does not know yet what it will hold."""
        if assignment.withheld or (order.kind == "skip" and assignment.progress.watermark < order.below):
            return ""
        return "it is not held"

    def _buried(self, assignment: Assignment, order: Order) -> str:
        """Whoever opens connections dead-letters them; here it is seen when that is done."""
        intake = self._router.intake(assignment.partition)
        if intake.dispatcher is not None:
            return f"there is a connection {intake.slug} in the worker's store: its events are delivered"
        if assignment.progress.watermark < order.below:
            if not intake.bury_below.get(assignment.partition):
                self._router.open_now(intake)
            return ""
        return f"what lay below offset {order.below:,} is dead-lettered"

    async def _go_on(self, assignment: Assignment, order: Order) -> str:
        evidence = self._evidence[assignment.partition]
        watermark, memory = evidence.memory()
        if order.kind == "start":
            progress = Progress(Commit(evidence.start))
            told = f"goes on from its first record, offset {evidence.start:,}: all of it goes out (again)"
        elif order.kind == "end":
            progress = Progress(Commit(order.below))
            told = f"goes on at offset {order.below:,}: what lay before it is passed, undelivered"
        else:
            progress = Progress.of(watermark, memory)
            told = f"goes on at offset {watermark:,}: what has no outcome goes out ({_left(evidence)})"
        fresh = self._partitions.restart(assignment, progress)
        self._committer.insist(fresh)
        await fresh.known()
        self._evidence.pop(fresh.partition, None)
        fresh.withheld, fresh.hold = False, None
        self._pauses.release(fresh, EXAMINED)
        return told

    async def _pass(self, assignment: Assignment, hold: PartitionHold) -> str:
        """The bytes that are there into a letter, and on behind them."""
        assert hold.unreadable is not None
        found = hold.unreadable
        to = found.after
        if to is None:
            start = (await asyncio.to_thread(self._log.start_offsets, [found.partition]))[found.partition]
            to = max(start, found.offset)
        if found.record is not None:
            await self._outcomes.bury_record(found.record, None, "unreadable", found.reason)
        assignment = self._router.assignments[found.partition]  # it may have been read again from the start meanwhile
        assignment.progress.leave_out(found.offset, to)
        if assignment.progress.top >= found.offset or not assignment.progress.unfinished:
            self._go_past(assignment, to)
        else:
            self._committer.insist(assignment)  # when reading comes to it, it goes past
        await assignment.known()
        assignment.hold = None
        kept = "; its bytes are in a dead letter" if found.record is not None else ""
        return f"goes on at offset {to:,}, past what cannot be read{kept}"

    async def _answer(self, order: Order, answer: str) -> None:
        logger().warning("partition.order", partition=str(order.partition), order=order.kind, answer=answer)
        assert self._orders is not None
        try:
            await asyncio.to_thread(self._orders.answer, order, answer)
        except StoreUnavailable as error:
            logger().warning("store.unavailable", error=str(error))  # it is done; the next look answers once more


def _meant(order: Order, hold: PartitionHold) -> bool:
    """Not when it was given before what holds it now came into the partition."""
    later = hold.unreadable is not None and hold.unreadable.offset >= order.below
    return order.kind in GOES_ON[hold.kind] and not later


def _commits_gone(partition: Partition, evidence: Evidence) -> str:
    seen = f"the ledger has outcomes up to offset {evidence.last - 1:,}" if evidence.ended else "records were deleted"
    return (
        f"partition {partition.number}: the group's commits are gone, and it was read before ({seen}); "
        f"`writeback topics resume {slug_of(partition.topic)}` goes on with what has no outcome there "
        f"({_left(evidence)}); --from start delivers everything again, --from end nothing of what is there"
    )


def _left(evidence: Evidence) -> str:
    return f"{evidence.left:,}" if evidence.exact else f"at most {evidence.left:,}"


def _cannot_be_read(found: Unreadable) -> str:
    return (
        f"partition {found.partition.number}: {found.reason}; "
        f"`writeback topics skip {slug_of(found.partition.topic)}` goes on behind it"
    )
