"""The thread of a member of a Kafka group: the only one that polls, pauses, resumes and seeks.

It goes in rounds (``guards.poll_round``): a round takes as long as a rebalance does, else no longer than a fetch,
50 ms, or, while nothing comes, than the time to the next sign of life, 300 ms. Between rounds it does what it was told.
It hands over at most ``ROOM`` batches that the loop has not taken; then it stays in the group without fetching.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import Any, NamedTuple, Protocol

import kafka
from kafka import errors

from topics.errors import CommitFenced, LogError, LogUnavailable
from topics.kafka import guards
from topics.kafka.client import FATAL, commit_error, says
from topics.kafka.membership import FETCH_WAIT_MS, ROUND_MS, Membership, behind
from topics.kafka.rebalance import Ownership
from topics.kafka.records import UnreadableBatch
from topics.kafka.watchdog import Watchdog
from topics.log import Commit, Partition, Record, Unreadable
from topics.log.log_events import logger

log = logger()

MAX_RECORDS = 1_000
ROOM = 2
IDLE_SECONDS = 0.05
QUIET_SECONDS = 5.0
QUIET_FETCH_MS = 500
"""How long the broker holds a fetch when for ``QUIET_SECONDS`` there was nothing: a record still comes at once."""
COMMIT_MS = 5_000
OFFSETS_MS = 5_000
CLOSE_MS = 3_000
AGAIN_SECONDS = 1.0
MAX_FAILURES = 5
"""Rounds that may fail one after the other before the consumer is replaced."""
MAX_READS = 3


class Batch(NamedTuple):
    """``told``: the number of the last command that was carried out before these were handed out.

    ``passed``: where partitions are, behind their records here, that have offsets without records.
    """

    records: dict[Partition, list[Record]]
    told: int
    passed: dict[Partition, int]


class Command(NamedTuple):
    kind: str
    partition: Partition
    epoch: int
    offset: int


class Owner(Protocol):
    """The loop's side; every method is called on the loop."""

    def assigned(self, commits: Mapping[Partition, Commit | None], epochs: Mapping[Partition, int]) -> None: ...
    def deliver(self, batch: Batch) -> None: ...
    def lost(self, partitions: Sequence[Partition]) -> None: ...
    def revoked(
        self, partitions: Sequence[Partition], answer: Callable[[Mapping[Partition, Commit]], None]
    ) -> None: ...
    def unreadable(self, found: Unreadable) -> None: ...
    def failed(self, error: LogError) -> None: ...
    def ended(self) -> None: ...


class Poller:
    def __init__(self, owner: Owner, membership: Membership) -> None:
        self.group = membership.group
        self._owner, self._membership = owner, membership
        self._loop: asyncio.AbstractEventLoop | None = None
        self._consumer: Any = None
        self.joined = False
        self._ownership = Ownership(owner, self._post)
        self._watchdog = Watchdog(3 * membership.address.session_ms / 1_000)
        self._commands: deque[tuple[int, Command]] = deque()
        self._numbers = itertools.count(1)
        self._told = 0
        self._room = threading.Semaphore(ROOM)
        self._awake = threading.Event()
        self._stopping = threading.Event()
        self._quiet_from = 0.0
        self._failures = 0
        self._suspects: dict[tuple[Any, int], int] = {}
        self._passed: set[Any] = set()

    # --- from the loop ------------------------------------------------------------------------------------------------

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Connect, and begin; blocks while it connects, so not on the loop itself."""
        self._loop = loop
        try:
            with self._membership.address.translated():
                self._open()
        except LogError:
            self._post(self._owner.ended)
            raise
        threading.Thread(target=self._run, name=f"writeback-kafka-{self.group}", daemon=True).start()

    def tell(self, command: Command) -> int:
        number = next(self._numbers)
        self._commands.append((number, command))
        self._awake.set()
        return number

    def taken(self) -> None:
        """The loop has taken a batch."""
        self._room.release()

    async def commit(self, commits: Mapping[Partition, Commit], epochs: Mapping[Partition, int]) -> None:
        """One request. The epochs are looked at again on the client's own loop, where revocations happen."""
        what = ", ".join(map(str, itertools.islice(commits, 3)))
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()

        def settle(error: BaseException | None) -> None:
            if not done.done():
                done.set_exception(commit_error(error, what)) if error else done.set_result(None)

        consumer = self._consumer
        try:
            sent = guards.on_client_loop(consumer, self._ownership.commit, consumer, commits, epochs, COMMIT_MS)
        except (RuntimeError, AttributeError) as error:
            raise CommitFenced(f"{what} is not ours any more: the consumer is closed") from error
        sent.add_callback(lambda _: self._post(settle, None))
        sent.add_errback(lambda error: self._post(settle, error))
        await done

    def stop(self) -> None:
        self._stopping.set()
        self._awake.set()

    def abort(self) -> None:
        """End a round that does not end by itself; blocks."""
        if self._consumer is not None:
            self._consumer.close(autocommit=False, timeout_ms=CLOSE_MS)

    # --- the thread ---------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                try:
                    self._round()
                    self._failures = 0
                except Exception as error:  # noqa: BLE001 - a thread that ends silently stops the worker
                    if self._stopping.is_set():
                        break
                    if isinstance(error, FATAL):
                        self._fail(error)
                        break
                    self._recover(error)
        finally:
            self._close()
            self._post(self._owner.ended)

    def _round(self) -> None:
        if self._consumer is None:
            self._open()
        consumer = self._consumer
        self._obey(consumer)
        guards.before_round(consumer)
        guards.let_fetches_wait(consumer, self._fetch_wait_ms(consumer))
        if not self._room.acquire(blocking=False):
            guards.keep_membership(consumer, ROUND_MS)
            self._announce(consumer)
            if not self._room.acquire(timeout=IDLE_SECONDS):
                return
        delivered = False
        try:
            polled = self._poll(consumer)
            self._announce(consumer)
            if polled or self._passed:
                delivered = self._deliver(consumer, polled)
        finally:
            if not delivered:
                self._room.release()
        if (why := self._watch(consumer)) is not None:
            self._replace(why)

    def _fetch_wait_ms(self, consumer: Any) -> int:
        """Short while anything happens, or a partition is paused: a fetch that is held knows nothing of a resume."""
        if monotonic() < self._quiet_from or len(guards.fetchable(consumer)) < len(consumer.assignment()):
            return FETCH_WAIT_MS
        return QUIET_FETCH_MS

    def _poll(self, consumer: Any) -> dict[Any, list[Any]]:
        if not guards.fetchable(consumer) and not guards.awaits_reset(consumer):
            self._awake.wait(IDLE_SECONDS)
        self._awake.clear()
        try:
            return guards.poll_round(consumer, ROUND_MS, MAX_RECORDS)
        except errors.OffsetOutOfRangeError as error:
            for raw, offset in error.args[0].items():
                reason = f"offset {offset} is no longer in the log: records were deleted unread"
                self._hold(consumer, Unreadable(Partition(raw.topic, raw.partition), offset, reason))
        except errors.TopicAuthorizationFailedError as error:
            closed = [raw for raw in consumer.assignment() if raw.topic in error.args[0]]
            if not closed:
                raise
            for raw in closed:
                at = int(guards.position(consumer, raw))
                self._hold(consumer, Unreadable(Partition(raw.topic, raw.partition), at, "we may not read this topic"))
        return {}

    def _obey(self, consumer: Any) -> None:
        while self._commands:
            self._quiet_from = monotonic() + QUIET_SECONDS
            number, (kind, partition, epoch, offset) = self._commands.popleft()
            if self._ownership.epoch(partition) == epoch:
                self._ownership.obey(consumer, kind, partition, offset)
                self._watchdog.moved(partition, monotonic())
            self._told = number

    def _deliver(self, consumer: Any, polled: dict[Any, list[Any]]) -> bool:
        now = monotonic()
        self._quiet_from = now + QUIET_SECONDS
        batch: dict[Partition, list[Record]] = {}
        for raw, some in polled.items():
            partition = Partition(raw.topic, raw.partition)
            if self._ownership.epoch(partition) is not None:
                batch[partition] = some
                self._watchdog.moved(partition, now)
        passed = self._take_passed(consumer) if self._passed else {}
        return bool(batch or passed) and self._post(self._owner.deliver, Batch(batch, self._told, passed))

    def _take_passed(self, consumer: Any) -> dict[Partition, int]:
        passed: dict[Partition, int] = {}
        while self._passed:
            raw = self._passed.pop()
            partition = Partition(raw.topic, raw.partition)
            if self._ownership.epoch(partition) is not None and (at := guards.position(consumer, raw)) < math.inf:
                passed[partition] = int(at)
        return passed

    def _announce(self, consumer: Any) -> None:
        """Tell the owner what is new, with what was committed, before anything of it is fetched."""
        new = self._ownership.unannounced()
        if not new:
            return
        try:
            found = guards.committed(consumer, [kafka.TopicPartition(*partition) for partition in new], OFFSETS_MS)
        except errors.RetriableError as error:
            log.info("log.offsets_not_read", group=self.group, error=says(error))
            return  # they stay paused; asked again after the next round
        self._ownership.announce(consumer, new, found)
        self._quiet_from = monotonic() + QUIET_SECONDS
        for partition in new:
            self._watchdog.moved(partition, monotonic())

    def _hold(self, consumer: Any, found: Unreadable) -> None:
        self._ownership.hold(consumer, found.partition)
        log.error("log.partition_held", partition=str(found.partition), group=self.group, reason=found.reason)
        self._post(self._owner.unreadable, found)

    # --- when it does not go well -------------------------------------------------------------------------------------

    def _watch(self, consumer: Any) -> str | None:
        self.joined = guards.is_stable(consumer)
        if guards.knows_coordinator(consumer):
            with contextlib.suppress(errors.KafkaError, LogError):
                return self._watchdog.look(
                    monotonic(),
                    stable=self.joined,
                    fetchable=[Partition(raw.topic, raw.partition) for raw in guards.fetchable(consumer)],
                    idle=not consumer.assignment(),
                    behind=lambda partitions: behind(consumer, partitions),
                    forgotten=lambda: self._membership.forgotten(consumer),
                )
        self._watchdog.no_answer(monotonic())
        return None

    def _recover(self, error: Exception) -> None:
        if self._consumer is not None and isinstance(error, errors.RetriableError):
            # An outage. A new consumer would wait until the group has given up the old one; the watchdog sees to it.
            guards.drop_current(self._consumer)
            self._stopping.wait(AGAIN_SECONDS / MAX_FAILURES)
            return
        self._failures += 1
        log.warning("log.poll_failed", group=self.group, error=says(error), failures=self._failures)
        if self._consumer is None:
            self._stopping.wait(AGAIN_SECONDS)
        elif (where := guards.drop_current(self._consumer)) is not None:
            self._suspect(where, error)
        elif self._failures >= MAX_FAILURES:
            self._replace(says(error))
        else:
            self._stopping.wait(AGAIN_SECONDS / MAX_FAILURES)

    def _suspect(self, where: tuple[Any, int], error: Exception) -> None:
        """A round failed while this was being read: by chance, or, the third time, because it cannot be read."""
        times = self._suspects[where] = self._suspects.get(where, 0) + 1
        if times >= MAX_READS:
            self._suspects.clear()
            self._hold(self._consumer, _found(where, error))

    def _replace(self, why: str) -> None:
        log.warning("log.consumer_replaced", group=self.group, reason=why)
        self._failures = 0
        self._close()

    def _fail(self, error: Exception) -> None:
        log.error("log.consumer_failed", group=self.group, error=says(error))
        self._post(
            self._owner.failed, LogUnavailable(f"{self._membership.address.name}, group {self.group}: {says(error)}")
        )

    def _open(self) -> None:
        self._watchdog.reset(monotonic())
        self._passed.clear()
        self._consumer = self._membership.join(self._ownership, self._passed)

    def _close(self) -> None:
        consumer, self._consumer = self._consumer, None
        self.joined = False
        if consumer is None:
            return
        try:
            consumer.close(autocommit=False, timeout_ms=CLOSE_MS)
        except Exception as error:  # noqa: BLE001 - the group lets it go when its session ends
            log.info("log.close_failed", group=self.group, error=says(error))
        self._ownership.abandon()

    def _post(self, call: Callable[..., None], *arguments: Any) -> bool:
        """Run on the owner's loop, in the order of the calls; False when that loop is gone."""
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(call, *arguments)
        except RuntimeError:
            self._stopping.set()
            return False
        return True


def _found(where: tuple[Any, int], error: Exception) -> Unreadable:
    """What cannot be read: a batch that says where it ends, or else the one record at which reading failed."""
    if isinstance(error, UnreadableBatch):
        return error.found
    raw, offset = where
    reason = f"the record at offset {offset} cannot be read: {says(error)}"
    return Unreadable(Partition(raw.topic, raw.partition), offset, reason, offset + 1)
