"""The refresher: collects requests, runs each connection's refresh when it is due, and tells everyone who asked."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from connectors.connections.refresh.policy import RefreshPolicy, refresh_policy
from connectors.connections.store import Connection, Connections
from connectors.errors import BadConnection
from topics import names
from topics.errors import CommitFenced, LogUnavailable, MalformedEvent, StoreUnavailable
from topics.event.refresh import decode
from topics.log import Commit, Log, Partition, Record, Unreadable
from topics.store.orders import Orders
from worker.clock import Clock, SystemClock, Timer
from worker.engine.settlement.deletion import delete_done
from worker.engine.settlement.ledger import Ledger
from worker.engine.settlement.outcomes import Outcomes
from worker.engine.settlement.publisher import RetryingPublisher
from worker.log_events import logger
from worker.refresher.counts import RefreshCounts
from worker.refresher.debounce import Batch, Debouncer, Timing
from worker.refresher.held import HeldRequests
from worker.refresher.outcomes import RefreshOutcomes
from worker.refresher.owned import Asked, OwnedPartition
from worker.refresher.run import Runner
from worker.refresher.turn import LEASE_SECONDS, Turns

POLL_SECONDS = 0.25
LOG_SECONDS = 1.0
"""Seconds between two tries while the log or the store is away."""
POLICY_SECONDS = 1.0
"""Seconds after which a request reads its connection's refresh policy anew."""
REVOKE_SECONDS = 0.8
FLUSH_SECONDS = 5.0
MAX_REQUESTS = 50_000
"""The limit of requests in memory: beyond it, reading pauses until half of them are done."""


@dataclass(frozen=True, slots=True)
class RefresherSettings:
    """``at_once``: how many runs at the same time, each a process of 60 to 150 MB.

    ``worker_group``: the consumer group whose commits tell which writes are done. ``keep_seconds``: how long answered
    requests stay in the log; None: for ever.
    """

    at_once: int = 4
    group: str = names.DEFAULT.refresher_group
    worker_group: str = names.DEFAULT.worker_group
    keep_seconds: float | None = None


class Refresher:
    """One consumer of ``writeback.refresh``, and the runs of its connections. An instance is run once.

    ``upgrade``: moves a connection to the newest version of its connector, for a full refresh.
    """

    def __init__(
        self,
        *,
        log: Log,
        connections: Connections,
        runner: Runner,
        upgrade: Callable[[Connection], Connection],
        settings: RefresherSettings | None = None,
        clock: Clock | None = None,
        orders: Orders | None = None,
    ) -> None:
        self._settings = settings or RefresherSettings()
        self._log = log
        self._connections = connections
        self._clock = clock or SystemClock()
        self._consumer = log.consumer(self._settings.group, pattern=re.escape(log.names.refresh), rebalance=self)
        self._publishers = [
            RetryingPublisher(
                log.producer(name=f"refresh-{name}", max_record_bytes=names.MAX_LETTER_BYTES), topic, self._clock
            )
            for name, topic in (
                ("letters", log.names.dead_letter),
                ("replies", log.names.replies),
                ("results", log.names.results),
            )
        ]
        letters, replies, results = self._publishers
        self.ledger = Ledger(results)
        outcomes = Outcomes(self.ledger, letters, replies, self._clock, self._settings.group)
        self._outcomes = RefreshOutcomes(outcomes, self.ledger, self._clock)
        self.debouncer: Debouncer[Asked] = Debouncer()
        self.counts = RefreshCounts()
        self._turns = Turns(
            log=log,
            connections=connections,
            runner=runner,
            upgrade=upgrade,
            debouncer=self.debouncer,
            outcomes=self._outcomes,
            done=self._done,
            spawn=self._spawn,
            counts=self.counts,
            clock=self._clock,
            worker_group=self._settings.worker_group,
        )
        self._policies: dict[str, RefreshPolicy] = {}
        self._looked_up = float("-inf")
        self._owned: dict[Partition, OwnedPartition] = {}
        self._held = HeldRequests(
            orders,
            self._owned,
            self._clock,
            keep=lambda record, reason: self._outcomes.bury_unread(record, "unreadable", reason),
            seek=self._consumer.seek,
            commit=self._commit,
        )
        self._attending: dict[str, asyncio.Task[None]] = {}
        self._settling: set[asyncio.Task[None]] = set()
        self._committing = asyncio.Lock()
        self._timer: Timer | None = None
        self._failure: BaseException | None = None
        self._full = False
        self._stopping = False

    @property
    def running(self) -> list[str]:
        """The connections with a run under way, or just about to start."""
        return list(self._attending)

    # -- run and stop -----------------------------------------------------------------------------------------------

    async def run(self, stop: asyncio.Event) -> None:
        """Work until ``stop`` is set. A run under way is then cut off, and the next refresher runs it again."""
        await asyncio.to_thread(self._log.ensure_topics, self._log.names.system_topics)
        await self._consumer.start()
        logger().info("refresher.started", group=self._settings.group, at_once=self._settings.at_once)
        group, keep = self._settings.group, self._settings.keep_seconds
        deleting = asyncio.create_task(delete_done(self._log, group, keep, lambda: self._owned, self._clock))
        try:
            while not stop.is_set():
                if self._failure is not None:
                    raise self._failure
                await self._take(await self._poll())
                await self._held.obey()
        finally:
            deleting.cancel()
            await self._stop()

    async def _poll(self) -> list[Record]:
        try:
            return await self._consumer.poll(POLL_SECONDS)
        except LogUnavailable as error:
            logger().warning("log.unavailable", error=str(error))
            await self._clock.sleep(LOG_SECONDS)
            return []

    async def _stop(self) -> None:
        self._stopping = True
        if self._timer is not None:
            self._timer.cancel()
        for task in self._attending.values():
            task.cancel()
        await asyncio.gather(*self._attending.values(), return_exceptions=True)
        if settling := list(self._settling):  # a run that has ended is answered and committed first
            _, late = await asyncio.wait(settling, timeout=FLUSH_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await self._consumer.close()  # asks ``revoked`` for the last commits
        for publisher in self._publishers:
            await asyncio.to_thread(publisher.close, FLUSH_SECONDS)
        logger().info("refresher.stopped")

    async def unready(self) -> str:
        """Why this refresher cannot work now; empty when it can."""
        if self._stopping:
            return "it is stopping"
        return "" if self._consumer.joined else f"it has not joined the group {self._settings.group}"

    # -- rebalance (topics.log.Rebalance) ---------------------------------------------------------------------------

    def assigned(self, commits: Mapping[Partition, Commit | None]) -> None:
        for partition, commit in commits.items():
            self._owned[partition] = OwnedPartition(partition, commit)
            logger().info("partition.assigned", partition=str(partition), offset=self._owned[partition].progress.start)

    async def revoked(self, partitions: Sequence[Partition]) -> Mapping[Partition, Commit]:
        going = self._leave(partitions)
        if cut := [task for task in self._attending.values() if task.cancelling()]:
            await asyncio.wait(cut, timeout=REVOKE_SECONDS)
        for owned in going:
            logger().info("partition.revoked", partition=str(owned.partition))
        return {owned.partition: owned.progress.snapshot() for owned in going}

    def lost(self, partitions: Sequence[Partition]) -> None:
        for owned in self._leave(partitions):
            logger().warning("partition.lost", partition=str(owned.partition))

    def unreadable(self, found: Unreadable) -> None:
        self._held.unreadable(found)

    def _leave(self, partitions: Sequence[Partition]) -> list[OwnedPartition]:
        """Kill the runs for these partitions. Requests of their connections in partitions that we keep wait again."""
        going = [self._owned.pop(partition) for partition in partitions if partition in self._owned]
        for owned in going:
            owned.open = False
            self._held.forget(owned.partition)
        for connection in {name for name, asked in self.debouncer.requests() if not asked.owned.open}:
            if (task := self._attending.get(connection)) is not None:
                task.cancel()
            self._ask(asked for asked in self.debouncer.withdraw(connection) if asked.owned.open)
        return going

    # -- requests ---------------------------------------------------------------------------------------------------

    async def _take(self, records: Sequence[Record]) -> None:
        requests = [asked for record in records if (asked := self._read(record)) is not None]
        if requests:
            await self._look_up({asked.request.connection for asked in requests})
            self._ask(asked for asked in requests if asked.owned.open)
        self._bound_memory()
        self._pump()

    def _read(self, record: Record) -> Asked | None:
        owned = self._owned.get(record.partition)
        if owned is None or not owned.progress.receive(record.offset):
            return None
        try:
            return Asked(owned, record, decode(record))
        except MalformedEvent as error:
            self._spawn(self._bury_malformed(owned, record, str(error)))
            return None

    def _ask(self, requests: Iterable[Asked]) -> None:
        now, wall = self._clock.monotonic(), self._clock.now()
        for asked in requests:
            connection = asked.request.connection
            if (policy := self._policies.get(connection)) is not None:
                self.debouncer.set_timing(connection, Timing(policy.quiet, policy.max_wait))
            self.debouncer.ask(connection, asked, asked.scope, now, age=wall - asked.record.timestamp_ms / 1_000)
            self.counts.requests[connection] += 1

    async def _look_up(self, connections: set[str]) -> None:
        """Read these connections' refresh policies; while the store is away, the last known (or the defaults) hold."""
        now = self._clock.monotonic()
        if now < self._looked_up + POLICY_SECONDS and connections <= self._policies.keys():
            return
        self._looked_up = now
        try:
            found = await asyncio.to_thread(self._connections.list)
        except StoreUnavailable as error:
            logger().warning("store.unavailable", error=str(error))
            return
        for connection in found:
            if connection.slug in connections:
                self._remember(connection)

    def _remember(self, connection: Connection) -> RefreshPolicy | None:
        try:
            policy = self._policies[connection.slug] = refresh_policy(connection)
        except BadConnection:
            return None  # reported when its run is due
        return policy

    def _bound_memory(self) -> None:
        undone = sum(owned.progress.unfinished for owned in self._owned.values())
        if undone > MAX_REQUESTS or self._full:
            self._full = undone > MAX_REQUESTS // 2
            (self._consumer.pause if self._full else self._consumer.resume)(list(self._owned))

    # -- runs -------------------------------------------------------------------------------------------------------

    def _pump(self) -> None:
        """Start what is due, up to ``at_once``, and set a timer for the next."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._stopping:
            return
        while len(self._attending) < self._settings.at_once:
            connection = self.debouncer.due(self._clock.monotonic())
            if connection is None:
                break
            if connection in self._attending:  # its last run was cut off, and has not ended yet
                self.debouncer.hold(connection, self._clock.monotonic() + LEASE_SECONDS)
                continue
            self.debouncer.hold(connection, float("inf"))
            task = self._attending[connection] = asyncio.create_task(self._attend(connection))
            task.add_done_callback(partial(self._attended, connection))
        else:
            return  # the next run that ends calls this again
        if (moment := self.debouncer.next_deadline()) is not None:
            self._timer = self._clock.call_at(moment, self._pump)

    def _attended(self, connection: str, task: asyncio.Task[None]) -> None:
        del self._attending[connection]
        self._note_failure(task)
        self._pump()

    async def _attend(self, connection: str) -> None:
        """Run a connection that is due, or note when to look at it again."""
        try:
            again_in = await self._turns.take(connection)
        except (StoreUnavailable, LogUnavailable) as error:
            logger().warning("refresh.waiting", connection=connection, reason=str(error))
            again_in = LOG_SECONDS
        if again_in is not None:
            self.debouncer.hold(connection, self._clock.monotonic() + again_in)

    async def _bury_malformed(self, owned: OwnedPartition, record: Record, reason: str) -> None:
        await self._outcomes.bury_unread(record, "malformed", reason)
        if owned.open:
            owned.progress.done(record.offset)
            await self._commit({owned})

    async def _done(self, batch: Batch[Asked]) -> None:
        if not self.debouncer.ended(batch):
            return  # another refresher has (a part of) these requests now, and runs them again
        for asked in batch.requests:
            asked.owned.progress.done(asked.record.offset)
        await self._commit({asked.owned for asked in batch.requests})

    async def _commit(self, partitions: set[OwnedPartition]) -> None:
        """Commit their progress; tries until the log has it, or the partitions are not ours any more."""
        async with self._committing:
            while commits := {one.partition: one.progress.snapshot() for one in partitions if one.open}:
                try:
                    await self._consumer.commit(commits)
                except CommitFenced as error:  # ``lost`` or ``revoked`` will follow
                    logger().warning("commit.fenced", error=str(error), partitions=[str(place) for place in commits])
                except LogUnavailable as error:
                    logger().warning("commit.failed", error=str(error))
                else:
                    return
                await self._clock.sleep(LOG_SECONDS)

    def _spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)
        task.add_done_callback(self._note_failure)
        return task

    def _note_failure(self, task: asyncio.Task[None]) -> None:
        """A bug of ours ends the refresher loudly, instead of leaving somebody waiting for ever."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failure = self._failure or error
