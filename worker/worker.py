"""The worker: poll → parse → route, then each connection's dispatcher does batch → deliver → decide → settle."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from connectors.connections.refresh.policy import wants_after_writeback
from connectors.connections.standing import Standing
from connectors.connections.store import Connections
from dead_letter.store.parking import Parking
from topics import names
from topics.errors import LogUnavailable
from topics.event.event import Event
from topics.log import Commit, Log, Partition, Record, Unreadable
from topics.orders import Orders
from worker.clock import Clock, SystemClock
from worker.engine.decide.retry import RetryPolicy
from worker.engine.intake.budget import Budget
from worker.engine.intake.changes import Changes
from worker.engine.intake.holds import PartitionHolds
from worker.engine.intake.intake import Build, ConnectionIntake, ConnectionOpener
from worker.engine.intake.pauses import PartitionPauses
from worker.engine.intake.router import Router
from worker.engine.lane.assignment import Assignment, Delivery
from worker.engine.ports import DispatchContext
from worker.engine.progress.metadata import ForeignMetadata, LetterCause
from worker.engine.progress.offsets import Progress
from worker.engine.settlement.after_writeback import AfterWriteback
from worker.engine.settlement.committer import Committer
from worker.engine.settlement.deletion import delete_done
from worker.engine.settlement.ledger import Ledger
from worker.engine.settlement.outcomes import Outcomes
from worker.engine.settlement.publisher import RetryingPublisher
from worker.log_events import logger
from worker.observe.announce import StateAnnouncer
from worker.observe.observer import CachedProbe, Observer
from worker.observe.reporter import StoreReporter
from worker.process.suspension import SuspensionDetector

POLL_SECONDS = 0.25
PASS_SECONDS = 0.25
"""Between two looks for offsets that hold no record."""
LOG_SECONDS = 1.0
"""Between two tries at a log that is away."""
CONFIRM_SECONDS = 0.02
REVOKE_SECONDS = 0.8
"""What a revocation waits for calls under way: more would starve the partitions that stay."""
LEDGER_SECONDS = 1.0
"""What a revocation waits for the ledger: without it no offset moves."""
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
    ) -> None:
        """``parking``: where parked keys are kept; without it a connection with ``on_dead: park`` is held.

        ``orders``: what operators order about partitions that are held; without it they are held until it is known.
        """
        self._settings = settings or WorkerSettings()
        self._log = log
        self._clock = clock or SystemClock()
        self._consumer = log.consumer(
            self._settings.group, pattern=log.names.events_pattern, rebalance=self, member=self._settings.member
        )
        ours = log.names
        topics = {"letters": ours.dead_letter, "replies": ours.replies, "results": ours.results}
        producers = {name: log.producer(name=name, max_record_bytes=names.MAX_LETTER_BYTES) for name in topics}
        self._publishers = [RetryingPublisher(producers[name], topic, self._clock) for name, topic in topics.items()]
        letters, replies, results = self._publishers
        refreshes = RetryingPublisher(producers["results"], ours.refresh, self._clock)
        self._after_writeback = AfterWriteback(refreshes)
        self._ledger = Ledger(results, after=self._after_writeback.ask)
        self._outcomes = Outcomes(self._ledger, letters, replies, self._clock, self._settings.group)
        self._committer = Committer(self._consumer, self._ledger, self._clock, self._committed)
        self._pauses = PartitionPauses(self._consumer)
        budget = Budget(self._settings.budget_records, self._settings.budget_bytes)
        self._router = Router(self._pauses, budget, self)
        context = DispatchContext(self, self._outcomes, self._clock, policy or RetryPolicy())
        self._router.opener = self._opener = ConnectionOpener(
            connections,
            build,
            context,
            self._clock,
            opened=self._opened,
            caught_up=self._router.caught_up,
            parking=parking,
            orders=orders,
        )
        self._holds = PartitionHolds(
            log,
            orders,
            self._router,
            self._pauses,
            self._clock,
            restart=self._restart,
            insist=self._committer.insist,
            keep=self._keep_unreadable,
            seek=self._consumer.seek,
            spawn=self._spawn,
        )
        self._announcer = StateAnnouncer(connections, results, self._clock, self._spawn)
        self.observer = Observer(
            router=self._router,
            committer=self._committer,
            ledger=self._ledger,
            counters=context.counters,
            log=log,
            clock=self._clock,
            window=self._settings.budget_records,
            tell=self._announcer.tell,
        )
        self.reporter = StoreReporter(
            connections,
            self.observer.states,
            self._clock,
            owned=lambda: len(self._router.assignments),
            member=self._settings.member,
        )
        self._changes = Changes(
            connections,
            self._router,
            self._opener,
            self._pauses,
            self._clock,
            holds=self._holds,
            drain=lambda assignments: self._drain(assignments, self._settings.grace_seconds),
            reread=self.reread,
            spawn=self._spawn,
        )
        self._probe = CachedProbe(log.probe, self._clock)
        self._stopping = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._failure: BaseException | None = None
        self._suspension = SuspensionDetector(self._clock.monotonic())
        self._confirming = False
        self._next_pass = float("-inf")

    # -- run and stop -----------------------------------------------------------------------------------------------

    async def run(self, stop: asyncio.Event) -> None:
        """Until ``stop`` is set; then lets calls under way finish, flushes, commits and leaves the group."""
        await self._begin()
        self._suspension = SuspensionDetector(self._clock.monotonic())
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
        left = await self._drain(list(self._router.assignments.values()), self._settings.grace_seconds)
        committing.cancel()
        await asyncio.gather(committing, return_exceptions=True)
        await self._consumer.close()  # asks ``revoked`` for the last commits
        for intake in self._router.intakes.values():
            await intake.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for publisher in self._publishers:
            await asyncio.to_thread(publisher.close, FLUSH_SECONDS)
        logger().info("worker.stopped", left=left)

    async def _drain(self, assignments: Sequence[Assignment], seconds: float) -> int:
        """Wait for what is under way, then cut off the rest: it stays undone, for the next owner to settle.

        Returns how many events were cut off.
        """
        until = self._clock.monotonic() + seconds
        while any(not assignment.quiet for assignment in assignments) and self._clock.monotonic() < until:
            await self._clock.sleep(0.01)
        left = sum(assignment.out for assignment in assignments)
        cut = [task for assignment in assignments for task in assignment.calls.values()]
        for task in cut:
            task.cancel()
        await asyncio.gather(*cut, return_exceptions=True)
        return left

    # -- rebalance (topics.log.Rebalance) ---------------------------------------------------------------------------

    def assigned(self, commits: Mapping[Partition, Commit | None]) -> None:
        uncommitted = []
        for partition, commit in commits.items():
            assignment = Assignment(partition, _progress(partition, commit))
            logger().info("partition.assigned", partition=str(partition), offset=assignment.progress.start)
            self._router.adopt(assignment, from_others=True)
            if commit is None:
                uncommitted.append(assignment)
        if uncommitted:
            self._holds.examine(uncommitted)

    async def revoked(self, partitions: Sequence[Partition]) -> Mapping[Partition, Commit]:
        going = [self._router.assignments[p] for p in partitions if p in self._router.assignments]
        for assignment in going:
            self._router.disown(assignment)
        await self._drain(going, REVOKE_SECONDS)
        for assignment in going:
            self._router.retire(assignment)
            self._committer.forget(assignment)
            logger().info("partition.revoked", partition=str(assignment.partition))
        try:
            await asyncio.wait_for(self._ledger.flush(), timeout=LEDGER_SECONDS)
        except TimeoutError:
            return {}  # the outcomes are not safe, so the offsets do not move: the next owner repeats
        return {one.partition: one.progress.last() for one in going if not one.uncommitted}

    def lost(self, partitions: Sequence[Partition]) -> None:
        for partition in partitions:
            assignment = self._router.assignments.get(partition)
            if assignment is None:
                continue
            logger().warning("partition.lost", partition=str(partition))
            self._leave(assignment)
            for task in list(assignment.calls.values()):
                task.cancel()

    def unreadable(self, found: Unreadable) -> None:
        self._holds.unreadable(found)

    async def _keep_unreadable(self, record: Record, reason: str) -> None:
        await self._outcomes.bury_record(record, None, "unreadable", reason)

    def _leave(self, assignment: Assignment) -> None:
        self._router.disown(assignment)
        self._router.retire(assignment)
        self._committer.forget(assignment)

    # -- what dispatchers and the router ask for (ports.WorkerPort, router.Undertaker) ---------------------------------

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
        fresh = assignment.again()
        logger().info("partition.reread", partition=str(assignment.partition), offset=fresh.progress.start)
        self._replace(assignment, fresh)
        self._pauses.release(fresh, "full")
        self._pauses.release(fresh, "crowded")
        self.dirty(fresh)  # what the old one had done may not be committed yet, and nothing else would say so

    def _restart(self, assignment: Assignment, progress: Progress) -> Assignment:
        fresh = Assignment(assignment.partition, progress)
        fresh.holds, fresh.hold, fresh.withheld = assignment.holds, assignment.hold, assignment.withheld
        self._replace(assignment, fresh)
        return fresh

    def _replace(self, assignment: Assignment, fresh: Assignment) -> None:
        """Nothing of the old one may be under way: it is fenced."""
        self._leave(assignment)
        assignment.let_go()
        self._consumer.seek(assignment.partition, fresh.progress.start)
        self._router.adopt(fresh)

    def quarantine(self, slug: str, reason: str) -> None:
        logger().error("connection.quarantined", connection=slug, reason=reason)
        if (dispatcher := self._router.intakes[slug].dispatcher) is not None:
            dispatcher.destination.pause()
        self.observer.states.changed(Standing(slug, "quarantined", reason))
        self._announcer.quarantined(slug, reason)

    def failed(self, error: BaseException) -> None:
        self._failure = self._failure or error

    def bury(
        self, assignment: Assignment, record: Record, event: Event | None, cause: LetterCause, reason: str
    ) -> None:
        assignment.settling += 1
        doubtful = assignment.progress.announce_letter(record.offset, cause)
        self.dirty(assignment)
        announced = assignment.known()

        async def settle() -> None:
            try:
                await announced
                await self._outcomes.bury_record(record, event, cause, reason, doubtful=doubtful)
            finally:
                assignment.settling -= 1
            if not assignment.closed:
                assignment.progress.done(record.offset)
                assignment.gave_back(record.size)
                self._router.finished(assignment, record.size)
                self.dirty(assignment)

        self._spawn(settle())

    def _opened(self, intake: ConnectionIntake) -> None:
        if intake.dispatcher is not None:
            wanted = wants_after_writeback(intake.dispatcher.connection)
            self._after_writeback.set_wanted(intake.slug, wanted=wanted)
        self._router.opened(intake)

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

    def awake(self) -> bool:
        if self._suspension.sign(self._clock.monotonic()):
            return True
        if not self._confirming:
            self._confirming = True
            self._spawn(self._confirm())
        return False

    # -- what comes by itself ---------------------------------------------------------------------------------------

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

    async def _confirm(self) -> None:
        """After a sleep: a commit that the log takes from us, begun now, shows that a partition is still ours."""
        while not self._suspension.sure:
            nap = self._suspension.naps
            logger().warning("worker.slept")
            owned = [assignment for assignment in self._router.assignments.values() if not assignment.uncommitted]
            wanted = {assignment: assignment.round + 1 for assignment in owned}
            for assignment in wanted:
                self._committer.insist(assignment)
            while any(not a.closed and a.committed_round < least for a, least in wanted.items()):
                await self._clock.sleep(CONFIRM_SECONDS)
            self._suspension.confirmed(nap)
        self._confirming = False
        for intake in self._router.intakes.values():
            if intake.dispatcher is not None:
                intake.dispatcher.pump()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.failed(error)


def _progress(partition: Partition, commit: Commit | None) -> Progress:
    try:
        return Progress(commit)
    except ForeignMetadata as error:
        logger().warning("commit.foreign_metadata", partition=str(partition), error=str(error))
        assert commit is not None
        return Progress(Commit(commit.offset))
