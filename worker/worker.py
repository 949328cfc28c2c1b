"""The worker: poll → parse → route, then each connection's dispatcher does batch → deliver → decide → settle."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from connectors.connections.standing import Standing
from connectors.connections.store import Connections
from dead_letter.store.parking import Parking
from topics import names
from topics.errors import LogUnavailable
from topics.log import Commit, Log, Partition, Record, Unreadable
from topics.store.orders import Orders
from worker.clock import Clock, SystemClock
from worker.engine.decide.retry import RetryPolicy
from worker.engine.intake.budget import Budget
from worker.engine.intake.changes import Changes
from worker.engine.intake.holds import PartitionHolds
from worker.engine.intake.intake import Build, ConnectionOpener, Reads, nothing_is_read
from worker.engine.intake.partitions import Partitions
from worker.engine.intake.pauses import PartitionPauses
from worker.engine.intake.router import Router
from worker.engine.intake.wake import WakeCheck
from worker.engine.lane.assignment import Assignment, Delivery
from worker.engine.passes import PassLimit
from worker.engine.ports import DispatchContext
from worker.engine.settlement.after_writeback import AfterWriteback
from worker.engine.settlement.committer import Committer
from worker.engine.settlement.deletion import delete_done
from worker.engine.settlement.ledger import Ledger
from worker.engine.settlement.outcomes import Outcomes
from worker.engine.settlement.publisher import RetryingPublisher
from worker.engine.settlement.refused import RefusedRecords
from worker.log_events import logger
from worker.observe.announce import StateAnnouncer
from worker.observe.observer import CachedProbe, Observer
from worker.observe.reporter import StoreReporter
from worker.process.background import BackgroundTasks

POLL_SECONDS = 0.25
PASS_SECONDS = 0.25
"""Between two looks for offsets that hold no record."""
LOG_SECONDS = 1.0
"""Between two tries at a log that is away."""
FLUSH_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """``grace_seconds``: how long a stop waits for calls under way; less than the container's stop period.

    ``keep_seconds``: how old an event gets in the log when it is done with; None: for ever.
    """

    group: str = names.DEFAULT.worker_group
    member: str = ""
    budget_records: int = 10_000
    budget_bytes: int = 64 * 1024 * 1024
    grace_seconds: float = 20.0
    keep_seconds: float | None = None


class Worker:
    """One consumer of the events topics, and everything it carries. Built by the front door; ``run`` once."""

    def __init__(
        self,
        *,
        log: Log,
        connections: Connections,
        build: Build,
        settings: WorkerSettings | None = None,
        clock: Clock | None = None,
        policy: RetryPolicy | None = None,
        parking: Parking | None = None,
        orders: Orders | None = None,
        reads: Reads = nothing_is_read,
    ) -> None:
        """``parking``: where parked keys are kept; without it a connection with ``on_dead: park`` is held.

        ``reads``: which connections a refresh reads now; without it nobody leaves it a part of the rate.
        ``orders``: what operators order about partitions that are held; without it they are held until it is known.
        """
        self._settings = settings or WorkerSettings()
        self._log = log
        self._clock = clock = clock or SystemClock()
        self._failure: BaseException | None = None
        self._stopping = False
        self._next_pass = float("-inf")
        self._tasks = tasks = BackgroundTasks(self.failed)
        self._probe = CachedProbe(log.probe, clock)

        ours, group = log.names, self._settings.group
        self._consumer = log.consumer(group, pattern=ours.events_pattern, rebalance=self, member=self._settings.member)
        topics = {"letters": ours.dead_letter, "replies": ours.replies, "results": ours.results}
        producers = {name: log.producer(name=name, max_record_bytes=names.MAX_LETTER_BYTES) for name in topics}
        self._publishers = [RetryingPublisher(producers[name], topic, clock) for name, topic in topics.items()]
        letters, replies, results = self._publishers
        after_writeback = AfterWriteback(RetryingPublisher(producers["results"], ours.refresh, clock))
        self._ledger = Ledger(results, after=after_writeback.ask)
        outcomes = Outcomes(self._ledger, letters, replies, clock, group)
        self._committer = Committer(self._consumer, self._ledger, clock, self._committed)

        context = DispatchContext(self, outcomes, clock, policy or RetryPolicy(), PassLimit(clock.monotonic))
        opener = ConnectionOpener(
            connections, build, context, after_writeback, parking=parking, orders=orders, reads=reads
        )
        self._opener = opener
        self._pauses = PartitionPauses(self._consumer)
        budget = Budget(self._settings.budget_records, self._settings.budget_bytes)
        refused = RefusedRecords(outcomes, self._committer, tasks)
        self._router = Router(opener, self._pauses, budget, self._committer, refused)
        self._partitions = Partitions(self._router, self._committer, self._ledger, self._pauses, clock)
        self._wake = WakeCheck(self._router, self._committer, clock, tasks)
        self._holds = PartitionHolds(
            log,
            orders,
            router=self._router,
            partitions=self._partitions,
            committer=self._committer,
            outcomes=outcomes,
            pauses=self._pauses,
            clock=clock,
            tasks=tasks,
        )
        self._changes = Changes(
            connections,
            router=self._router,
            partitions=self._partitions,
            holds=self._holds,
            pauses=self._pauses,
            clock=clock,
            tasks=tasks,
            grace_seconds=self._settings.grace_seconds,
            reads=reads,
        )

        self._announcer = StateAnnouncer(connections, results, clock, tasks)
        self.observer = Observer(
            router=self._router,
            committer=self._committer,
            ledger=self._ledger,
            counters=context.counters,
            log=log,
            clock=clock,
            window=self._settings.budget_records,
            tell=self._announcer.tell,
            refusal=outcomes.refusal,
        )
        self.reporter = StoreReporter(
            connections,
            self.observer.states,
            clock,
            owned=lambda: len(self._router.assignments),
            member=self._settings.member,
        )

    # -- run and stop -----------------------------------------------------------------------------------------------

    async def run(self, stop: asyncio.Event) -> None:
        """Until ``stop`` is set; then lets calls under way finish, flushes, commits and leaves the group."""
        await self._begin()
        self._wake.begin()
        logger().info("worker.started", group=self._settings.group)
        committing = asyncio.create_task(self._committer.run())
        watching = asyncio.create_task(self._changes.run())
        observing = asyncio.create_task(self.observer.run())
        reporting = asyncio.create_task(self.reporter.run())
        mine, keep = self._router.assignments, self._settings.keep_seconds
        deleting = asyncio.create_task(delete_done(self._log, self._settings.group, keep, lambda: mine, self._clock))
        try:
            while not stop.is_set():
                for task in (committing, watching, observing, reporting, deleting):
                    if task.done():
                        task.result()  # a bug there ends the worker loudly instead of leaving it half alive
                if self._failure is not None:
                    raise self._failure
                self._router.route(await self._poll())
                self._pass_over()
                self.awake()
        finally:
            for task in (watching, observing, reporting, deleting):
                task.cancel()
            await self._stop(committing)
            await self.reporter.leave()

    async def _begin(self) -> None:
        """The group lets us in while the ledger is opened; nothing is taken before both are done."""
        opening = asyncio.create_task(self._open_ledger())
        try:
            await self._consumer.start()
            await opening
        except BaseException:
            opening.cancel()
            await asyncio.gather(opening, return_exceptions=True)
            await self._consumer.close()
            raise

    async def _open_ledger(self) -> None:
        await asyncio.to_thread(self._log.ensure_topics, self._log.names.system_topics)
        await self._ledger.open()

    async def _poll(self) -> list[Record]:
        try:
            return await self._consumer.poll(POLL_SECONDS)
        except LogUnavailable as error:
            logger().warning("log.unavailable", error=str(error))
            await self._clock.sleep(LOG_SECONDS)
            return []

    def _pass_over(self) -> None:
        if (now := self._clock.monotonic()) >= self._next_pass:
            self._next_pass = now + PASS_SECONDS
            self._router.pass_over(self._consumer.position)

    async def _stop(self, committing: asyncio.Task[None]) -> None:
        self._stopping = True
        dispatchers = [intake.dispatcher for intake in self._router.intakes.values() if intake.dispatcher]
        logger().info("worker.stopping", out=sum(dispatcher.out for dispatcher in dispatchers))
        for dispatcher in dispatchers:
            dispatcher.destination.pause()
        left = await self._partitions.drain(list(self._router.assignments.values()), self._settings.grace_seconds)
        committing.cancel()
        await asyncio.gather(committing, return_exceptions=True)
        await self._consumer.close()  # asks ``revoked`` for the last commits
        for intake in self._router.intakes.values():
            await intake.close()
        await self._opener.close()
        await self._tasks.close()
        for publisher in self._publishers:
            await asyncio.to_thread(publisher.close, FLUSH_SECONDS)
        logger().info("worker.stopped", left=left)

    # -- rebalance (topics.log.Rebalance) ---------------------------------------------------------------------------

    def assigned(self, commits: Mapping[Partition, Commit | None]) -> None:
        if uncommitted := self._partitions.take(commits):
            self._holds.examine(uncommitted)

    async def revoked(self, partitions: Sequence[Partition]) -> Mapping[Partition, Commit]:
        return await self._partitions.give_back(partitions)

    def lost(self, partitions: Sequence[Partition]) -> None:
        self._partitions.lose(partitions)

    def unreadable(self, found: Unreadable) -> None:
        self._holds.unreadable(found)

    # -- what connections ask for (ports.WorkerPort) ----------------------------------------------------------------

    def dirty(self, assignment: Assignment) -> None:
        self._committer.dirty(assignment)

    def urgent(self, assignment: Assignment) -> None:
        self._committer.urgent(assignment)

    def hold(self, assignment: Assignment, why: str) -> None:
        self._pauses.hold(assignment, why)

    def release(self, assignment: Assignment, why: str) -> None:
        self._pauses.release(assignment, why)

    def finished(self, delivery: Delivery) -> None:
        self._router.finished(delivery.assignment, delivery.size)

    def reread(self, assignment: Assignment) -> None:
        self._partitions.reread(assignment)

    def awake(self) -> bool:
        return self._wake.awake()

    def quarantine(self, slug: str, reason: str) -> None:
        logger().error("connection.quarantined", connection=slug, reason=reason)
        if (dispatcher := self._router.intakes[slug].dispatcher) is not None:
            dispatcher.destination.pause()
        self.observer.states.changed(Standing(slug, "quarantined", reason))
        self._announcer.quarantined(slug, reason)

    def failed(self, error: BaseException) -> None:
        self._failure = self._failure or error

    def _committed(self, assignment: Assignment) -> None:
        if assignment.crowded and "crowded" not in assignment.holds:
            logger().warning("commit.crowded", partition=str(assignment.partition))
            self._pauses.hold(assignment, "crowded")
        elif not assignment.crowded:
            self._pauses.release(assignment, "crowded")
        dispatcher = self._router.intake(assignment.partition).dispatcher
        if dispatcher is not None and dispatcher.lane.committed(assignment):
            dispatcher.pump()
        if assignment.wants_commit:
            self._committer.dirty(assignment)  # the next window, while this one is being sent

    # -- how it is ----------------------------------------------------------------------------------------------------

    async def unready(self) -> str:
        """Why this worker cannot work now, or nothing when it can."""
        if self._stopping:
            return "it is stopping"
        if not self._consumer.joined:
            return f"it has not joined the group {self._settings.group}, or the group is sharing out its partitions"
        try:
            await self._probe.answer()
        except LogUnavailable as error:
            return str(error)
        return ""

    def states(self) -> dict[str, Any]:
        """How this worker and the connections it has events of are, in the words of ``connections list``."""
        self.observer.look()
        current = self.observer.states.current
        return {
            "worker": self.reporter.name,
            "state": "active" if self._router.assignments else "stand-by",
            "partitions": len(self._router.assignments),
            "connections": [{"connection": slug, **current[slug].shown()} for slug in sorted(current)],
        }
