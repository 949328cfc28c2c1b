"""The thread of a consumer: it holds the group's lease, notices new topics, and reads ahead (``read_ahead.py``)."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable
from time import monotonic
from uuid import uuid4

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from topics.errors import LogReplaced, WritebackError
from topics.log import Commit, Partition, Record, Unreadable
from topics.log.log_events import logger
from topics.sqlite import lease
from topics.sqlite.errors import explain, is_busy
from topics.sqlite.file import LogFile
from topics.sqlite.read_ahead import Assigned, Place, ReadAhead
from topics.sqlite.records import BrokenRecord, read_records
from topics.sqlite.schema import begin, connect_to_write

STANDBY_SECONDS = 0.05
"""Seconds between two looks at the lease, for a consumer that stands by."""
TOPICS_SECONDS = 0.25
READ_RECORDS = 500
BUSY_IS_NEWS_SECONDS = 10.0
FAILED_SECONDS = 0.5

_log = logger()


class Member:
    """Runs one thread. Records go to ``read_ahead``, errors to ``failed``."""

    def __init__(
        self, file: LogFile, group: str, pattern: str, read_ahead: ReadAhead, failed: Callable[[WritebackError], None]
    ) -> None:
        self.wake = threading.Event()
        self.checked = 0.0  # when the lease was last known to be ours, by the monotonic clock
        self._file = file
        self._group = group
        self._pattern = re.compile(pattern)
        self._read_ahead = read_ahead
        self._failed = failed
        self._owner = f"{os.getpid()}-{uuid4().hex}"
        self._watch = lease.Watch()
        self._epoch: int | None = None
        self._waits_for: str | None = None  # the owner that was logged last
        self._stopping = False
        self._next_topics = 0.0
        self._topics_stale = False
        self._ends: dict[int, int] = {}
        self._seen_change = -1
        self._more = True
        self._busy_since: float | None = None
        self._thread = threading.Thread(target=self._run, name=f"writeback-log-{group}", daemon=True)

    @property
    def epoch(self) -> int | None:
        """The lease's epoch; None while the lease is not ours."""
        return self._epoch

    def start(self) -> None:
        self._file.watch(self.wake)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; blocks until its present turn is over."""
        self._stopping = True
        self.wake.set()
        self._thread.join()
        self._file.unwatch(self.wake)

    def _run(self) -> None:
        while not self._stopping:
            try:
                with (
                    self._file.engine.connect() as reading,
                    connect_to_write(
                        self._file.engine, durable=False
                    ) as beating,  # a heartbeat that a power cut loses does no harm
                ):
                    self._turns(reading, beating)
            except LogReplaced as error:
                self._failed(error)
                return
            except DBAPIError as error:
                self._report(error)
                self.wake.wait(FAILED_SECONDS)

    def _turns(self, reading: Connection, beating: Connection) -> None:
        self._more = True
        self.wake.set()
        next_look = 0.0
        while not self._stopping:
            if monotonic() >= next_look:
                next_look = monotonic() + lease.BEAT_SECONDS
                self._file.verify()
            if not self._more:
                self.wake.wait(self._idle())
            self._more = self._turn(reading, beating)
            self._busy_since = None

    def _idle(self) -> float:
        """Seconds until something is due without being woken: a heartbeat, or a postponed look at the topics."""
        if self._epoch is None:
            return STANDBY_SECONDS
        due = self.checked + lease.BEAT_SECONDS
        return max(0.0, (min(due, self._next_topics) if self._topics_stale else due) - monotonic())

    def _turn(self, reading: Connection, beating: Connection) -> bool:
        """Do what is due. Returns whether there is more to do at once."""
        woken = self.wake.is_set()
        self.wake.clear()  # cleared before looking, so that what comes later wakes us again
        if self._epoch is None:
            return self._try_to_own(reading, beating)
        if monotonic() - self.checked >= lease.BEAT_SECONDS and not self._beat(beating):
            return True
        self._topics_stale = self._topics_stale or woken
        if self._topics_stale and monotonic() >= self._next_topics:
            self._see_topics(reading)
            woken = True
        return (woken or self._more) and self._read_batch(reading)

    def _try_to_own(self, reading: Connection, beating: Connection) -> bool:
        seen = lease.read(reading, self._group)
        reading.rollback()
        if not self._watch.may_take(seen, monotonic()):
            self._stand_by(seen)
            return False
        begin(beating, lease.TAKEOVER_SECONDS)
        now = monotonic()
        self._epoch = lease.take(beating, self._group, self._owner, seen)
        beating.commit()
        if self._epoch is None:
            return False
        if self._waits_for is not None:
            _log.info("lease.taken_over", group=self._group, process=os.getpid())
            self._waits_for = None
        self.checked = now
        self._next_topics, self._topics_stale = 0.0, True
        return True

    def _stand_by(self, seen: lease.Lease | None) -> None:
        """Log who owns the group, whenever that changes."""
        owner = seen.owner if seen is not None else None
        if owner is not None and owner != self._waits_for:
            self._waits_for = owner
            _log.info(
                "lease.standing_by",
                group=self._group,
                process=owner.partition("-")[0],
                takes_over=f"at once when that process stops, {lease.TAKEOVER_SECONDS:.0f} s after it has died",
            )

    def _beat(self, beating: Connection) -> bool:
        assert self._epoch is not None
        begin(beating, lease.TAKEOVER_SECONDS)
        now = monotonic()
        ours = lease.beat(beating, self._group, self._epoch)
        beating.commit()
        if ours:
            self.checked = now
            return True
        _log.warning("lease.lost", group=self._group, epoch=self._epoch)
        self._epoch = None
        self._read_ahead.lose([place.partition for place in self._read_ahead.places()])
        return False

    def _see_topics(self, reading: Connection) -> None:
        """Assign the partitions of new topics, and drop those of deleted ones."""
        assert self._epoch is not None
        self._next_topics, self._topics_stale = monotonic() + TOPICS_SECONDS, False
        rows = reading.exec_driver_sql(
            "SELECT t.name, p.number, p.id, p.first, c.offset, c.metadata FROM topics t"
            " JOIN partitions p ON p.topic_id = t.id"
            " LEFT JOIN commits c ON c.partition_id = p.id AND c.group_name = ?",
            (self._group,),
        ).all()
        reading.rollback()
        ours = {place.id: place.partition for place in self._read_ahead.places()}
        there = {row[2] for row in rows}
        if gone := [partition for partition_id, partition in ours.items() if partition_id not in there]:
            self._read_ahead.lose(gone)
        places: list[Place] = []
        commits: dict[Partition, Commit | None] = {}
        for name, number, partition_id, first, offset, metadata in rows:
            if partition_id not in ours and self._pattern.fullmatch(name):
                partition = Partition(name, number)
                places.append(Place(partition_id, partition, first if offset is None else offset))
                commits[partition] = None if offset is None else Commit(offset, metadata)
        if places:
            ids = {place.partition: place.id for place in places}
            self._read_ahead.assign(places, Assigned(commits, ids, self._epoch))

    def _read_batch(self, reading: Connection) -> bool:
        places = [place for place in self._read_ahead.places() if place.wanted]
        if not places or not self._read_ahead.has_room():
            return False  # the consumer wakes us when it has made room
        self._see_ends(reading)
        more = False
        for place in places:
            if place.position != self._ends.get(place.id, 0) and self._read_ahead.has_room():
                more = self._read(reading, place) or more
        return more

    def _see_ends(self, reading: Connection) -> None:
        """Read only the end offsets that changed since the last look, so that a thousand idle topics cost nothing."""
        rows = reading.exec_driver_sql(
            "SELECT id, next, changed FROM partitions WHERE changed > ?", (self._seen_change,)
        ).all()
        reading.rollback()
        for partition_id, following, change in rows:
            self._ends[partition_id] = following
            self._seen_change = max(self._seen_change, change)

    def _read(self, reading: Connection, place: Place) -> bool:
        position, turn = self._read_ahead.begin_read(place)
        records, broken = self._fetch(reading, place, position)
        if records and records[0].offset == position:
            return self._read_ahead.hand_in(place, turn, records)
        row = reading.exec_driver_sql("SELECT first, next FROM partitions WHERE id = ?", (place.id,)).first()
        reading.rollback()
        if broken is not None:
            self._hold(place, turn, broken)
        elif row is not None and not row[0] <= position <= row[1]:
            self._hold(place, turn, Unreadable(place.partition, position, f"{_gone(position)}, the first is {row[0]}"))
        elif records:  # missing although `first` is below it: the file is damaged, or was edited
            self._hold(place, turn, Unreadable(place.partition, position, _gone(position), records[0].offset))
        return False

    def _fetch(self, reading: Connection, place: Place, position: int) -> tuple[list[Record], Unreadable | None]:
        """The next records, and the unreadable one that follows them, if any."""
        try:
            records, broken = read_records(reading, place.id, place.partition, position, READ_RECORDS), None
        except BrokenRecord as error:
            records, broken = error.before, error.found
        reading.rollback()
        return records, broken

    def _hold(self, place: Place, turn: int, found: Unreadable) -> None:
        if self._read_ahead.hold(place, turn, found):
            _log.error("log.partition_held", partition=str(found.partition), group=self._group, reason=found.reason)

    def _report(self, error: DBAPIError) -> None:
        """Report an error at once, but a lock held by somebody else only when it lasts."""
        if is_busy(error):
            self._busy_since = self._busy_since or monotonic()
            if monotonic() - self._busy_since < BUSY_IS_NEWS_SECONDS:
                return
        self._failed(explain(error, self._file.path))


def _gone(position: int) -> str:
    return f"offset {position} is no longer in the log: records were deleted unread"
