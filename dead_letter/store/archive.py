"""From ``writeback.dead-letter`` into the letter store.

Two ways lead there, and both may run at the same time: ``Archive``, for as long as the process lives, and
``catch_up``, before a command looks at the letters, so that a listing is never behind. Both begin at the store's own
marks and go on in the topic's order, and saving twice is the same as saving once.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from dead_letter.errors import LetterRefused, LettersUnreadable
from dead_letter.letter.letter import decode, raw
from dead_letter.log_events import EventName, logger
from dead_letter.store.store import Arrival, LetterStore
from topics.errors import CommitFenced, LogUnavailable, StoreUnavailable
from topics.log import Commit, Consumer, Log, Partition, Record, Unreadable, UnreadableRecords
from topics.log.backlog import partitions_of, read_to_end
from topics.log.retention import Retention

POLL_SECONDS = 1.0
DELETE_SECONDS = 60.0
"""Between two looks for letters that the store has for long."""
AT_ONCE = 200
"""Letters in one transaction; the largest take 2 MB each."""


def pause(failures: int) -> float:
    """Seconds to wait after so many failures in a row: 1, 2, 4, 8, 16, 30, 30 ..."""
    return min(30.0, 2.0 ** min(failures - 1, 10))


def catch_up(log: Log, store: LetterStore) -> int:
    """Bring the store to the present end of the topic; how many letters were new.

    Raises ``LogUnavailable`` when the log stops answering on the way, and ``LettersUnreadable``; what was read until
    then is kept.
    """
    try:
        return _catch_up(log, store)
    except UnreadableRecords as error:
        raise LettersUnreadable(
            f"{error}; the letters behind it are not here: `writeback dead-letters skip` goes on behind it"
        ) from error


def skip(log: Log, store: LetterStore) -> list[Unreadable]:
    """Go past what cannot be read in the topic, and only that; its bytes become a letter. What was passed."""
    passed: list[Unreadable] = []
    while True:
        try:
            _catch_up(log, store)
        except UnreadableRecords as error:
            store.skip(error.found)
            passed.append(error.found)
        else:
            return passed


def _catch_up(log: Log, store: LetterStore) -> int:
    places = partitions_of(log, log.names.dead_letter)
    if not places:
        return 0
    begin, marks, new = starts(store, log, places), store.marks(), 0
    while True:
        try:
            for records in read_to_end(log, begin, strict=True):
                new += keep(store, records)
                begin.update((record.partition, record.offset + 1) for record in records)
            break
        except UnreadableRecords as error:
            found = error.found
            if marks.get(found.partition.number, 0) <= found.offset:
                raise
            begin[found.partition] = found.behind  # it was passed before: what is read again are letters of others
    if store.missed():
        store.caught_up()
    return new


def starts(store: LetterStore, log: Log, places: Sequence[Partition]) -> dict[Partition, int]:
    """Where to read on: at the marks, or at letters that were passed and are this store's by now.

    A mark beyond the end belongs to a topic that is gone: the new one is read from its start. A store that knows less
    than the topic has deleted was lost, or comes from a backup: it begins with what is left.
    """
    marks, missed = store.marks(), store.missed()
    first = log.start_offsets(places)
    for place, end in log.end_offsets(places).items():
        if marks.get(place.number, 0) > end:
            logger().warning("archive.topic_made_anew", partition=place.number, mark=marks[place.number], end=end)
            store.rewind(place.number)
            marks[place.number] = 0
        if marks.get(place.number, 0) < first[place]:
            logger().warning(
                "archive.letters_deleted", partition=place.number, mark=marks.get(place.number, 0), first=first[place]
            )
            marks[place.number] = first[place]
    return {
        place: max(first[place], min(mark := marks.get(place.number, 0), missed.get(place.number, mark)))
        for place in places
    }


def keep(store: LetterStore, records: Sequence[Record]) -> int:
    """Store these, in their order; how many were new. What the database does not take as a letter is stored raw."""
    new = 0
    for start in range(0, len(records), AT_ONCE):
        part = records[start : start + AT_ONCE]
        try:
            new += store.save_batch([Arrival(decode(record), record) for record in part])
        except LetterRefused:
            new += sum(_keep_one(store, record) for record in part)
    return new


def _keep_one(store: LetterStore, record: Record) -> int:
    try:
        return store.save_batch([Arrival(decode(record), record)])
    except LetterRefused as error:
        logger().warning(
            "archive.stored_raw", partition=record.partition.number, offset=record.offset, reason=str(error)
        )
        return store.save_batch([Arrival(raw(record, str(error)), record)])


class Archive:
    """A member of the archive's group.

    While the store is away it holds what it has, says so, and tries again. Its commits only show how far it is: the
    store's own marks say where to go on. ``keep_s``: how old a letter gets in the topic once the store has it, by
    ``now``; None: for ever.
    """

    def __init__(
        self,
        log: Log,
        store: LetterStore,
        *,
        pause: Callable[[int], float] = pause,
        keep_s: float | None = None,
        now: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._topics = log
        self._store = store
        self._pause = pause
        self._fresh: set[Partition] = set()
        self._owned: set[Partition] = set()
        self._waiting: list[Record] = []
        self._unreadable: dict[Partition, Unreadable] = {}
        self._kept: dict[Partition, int] = {}
        self._committed: dict[Partition, int] = {}
        self._failures = 0
        self._log_failures = 0
        self._retention = None if keep_s is None else Retention(log, log.names.archive_group, keep_s)
        self._now = now
        self._next_deletion = 0.0

    async def run(self, stop: asyncio.Event) -> None:
        """Until ``stop`` is set; whatever happens to the log or the store."""
        names = self._topics.names
        while not stop.is_set():
            self._forget(self._owned | self._fresh)
            consumer = self._topics.consumer(names.archive_group, pattern=re.escape(names.dead_letter), rebalance=self)
            try:
                await consumer.start()
                await self._consume(consumer, stop)
            except LogUnavailable as error:
                await self._fail(stop, "archive.log_unavailable", error)
            finally:
                await consumer.close()

    async def _consume(self, consumer: Consumer, stop: asyncio.Event) -> None:
        while not stop.is_set():
            if not self._failures:  # else it was _hold that polled
                await self._poll(consumer, POLL_SECONDS)
            try:
                await self._take_up(consumer)
                await self._save(consumer)
                await self._go_past(consumer)
                self._well(consumer)
            except StoreUnavailable as error:
                consumer.pause(sorted(self._owned))
                await self._hold(consumer, stop, error)
                continue
            await self._commit(consumer)
            await self._delete_old()

    async def _delete_old(self) -> None:
        if self._retention is None or (now := asyncio.get_running_loop().time()) < self._next_deletion:
            return
        more = await asyncio.to_thread(self._retention.delete, sorted(self._owned), self._now())
        self._next_deletion = now + (POLL_SECONDS if more else DELETE_SECONDS)

    async def _poll(self, consumer: Consumer, timeout: float) -> None:
        records = await consumer.poll(timeout)
        self._log_failures = 0
        self._waiting += [record for record in records if record.partition in self._owned]

    async def _take_up(self, consumer: Consumer) -> None:
        """Begin at the store's marks, not at the commit: a store that was lost is filled again from the topic."""
        fresh = sorted(self._fresh)
        if not fresh:
            return
        for place, start in (await asyncio.to_thread(starts, self._store, self._topics, fresh)).items():
            if place in self._fresh:
                consumer.seek(place, start)
                self._fresh.discard(place)
                self._owned.add(place)

    async def _save(self, consumer: Consumer) -> None:
        """All that was handed out is in the store then: the consumer's position is how far we are."""
        if self._waiting:
            await asyncio.to_thread(keep, self._store, self._waiting)
            self._waiting = []
        for place in self._owned:
            position = consumer.position(place)
            if position is not None and position > self._committed.get(place, 0):
                self._kept[place] = position

    async def _go_past(self, consumer: Consumer) -> None:
        """What somebody has skipped in the store."""
        if not self._unreadable:
            return
        marks = await asyncio.to_thread(self._store.marks)
        for place, found in list(self._unreadable.items()):
            if marks.get(place.number, 0) > found.offset:
                consumer.seek(place, found.behind)
                del self._unreadable[place]

    async def _commit(self, consumer: Consumer) -> None:
        commits = {place: Commit(offset) for place, offset in self._kept.items() if place in self._owned}
        if not commits:
            return
        try:
            await consumer.commit(commits)
            self._committed.update((place, commit.offset) for place, commit in commits.items())
            self._kept.clear()
        except CommitFenced:
            self._kept.clear()  # its next owner begins at the store's marks, which know better

    async def _hold(self, consumer: Consumer, stop: asyncio.Event, error: StoreUnavailable) -> None:
        """Wait, and stay a member of the group meanwhile: it is the polling that keeps us in it."""
        self._failures += 1
        seconds = self._pause(self._failures)
        logger().warning("archive.held", reason=str(error), failures=self._failures, next_try_s=seconds)
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while not stop.is_set() and (left := until - loop.time()) > 0:
            await self._poll(consumer, min(left, POLL_SECONDS))

    def _well(self, consumer: Consumer) -> None:
        if self._failures:
            logger().info("archive.resumed", failures=self._failures)
            consumer.resume(sorted(self._owned))
            self._failures = 0

    async def _fail(self, stop: asyncio.Event, event: EventName, error: Exception) -> None:
        self._log_failures += 1
        seconds = self._pause(self._log_failures)
        logger().warning(event, reason=str(error), failures=self._log_failures, next_try_s=seconds)
        try:
            await asyncio.wait_for(stop.wait(), seconds)
        except TimeoutError:
            return

    # -- Rebalance ----------------------------------------------------------------------------------------------------

    def assigned(self, commits: Mapping[Partition, Commit | None]) -> None:
        self._fresh.update(commits)

    async def revoked(self, partitions: Sequence[Partition]) -> Mapping[Partition, Commit]:
        kept = {place: Commit(self._kept[place]) for place in partitions if place in self._kept}
        self._forget(partitions)
        return kept

    def lost(self, partitions: Sequence[Partition]) -> None:
        self._forget(partitions)

    def unreadable(self, found: Unreadable) -> None:
        """It holds the partition, as every command about letters says, until ``dead-letters skip`` moves the mark."""
        self._unreadable[found.partition] = found

    def _forget(self, partitions: Iterable[Partition]) -> None:
        gone = set(partitions)
        self._fresh -= gone
        self._owned -= gone
        self._waiting = [record for record in self._waiting if record.partition not in gone]
        self._unreadable = {place: found for place, found in self._unreadable.items() if place not in gone}
        self._kept = {place: offset for place, offset in self._kept.items() if place not in gone}
        self._committed = {place: offset for place, offset in self._committed.items() if place not in gone}
