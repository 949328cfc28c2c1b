"""The events that syncs have sent, and their outcomes: read from the ledger into the store, each counted once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, delete, func, select, update

from topics.errors import MalformedEvent
from topics.event import exact_json
from topics.event.result import Result, unpack
from topics.log import Log, Partition
from topics.store import inserting, reading
from worker.syncs.snapshot.blocks import key_from
from worker.syncs.snapshot.compare import Change, Kind
from worker.syncs.source.ordering import Key
from worker.syncs.tables import MARKS, RUNS, SENT

MANY = 500
VERSION_8 = "8"
"""The UUID version of the ids that syncs make; the ledger's many other events are skipped by it."""


class Intent(NamedTuple):
    """An event that is about to be sent."""

    id: str
    change: Change


class Sent:
    """In the store. Raises ``StoreUnavailable``."""

    def __init__(self, engine: Engine, sync: str) -> None:
        self._engine = engine
        self._sync = sync

    def dead_count(self) -> int:
        with reading(self._engine) as connection:
            count = connection.scalar(select(func.count()).select_from(SENT).where(*self._dead()))
            return count or 0

    def dead(self, keys: Sequence[Key]) -> dict[Key, Kind]:
        """Those of these rows whose event is a dead letter, with the kind of change it was."""
        by_hash = {key_hash(key): key for key in keys}
        hashes = list(by_hash)
        found: dict[Key, Kind] = {}
        with reading(self._engine) as connection:
            for start in range(0, len(hashes), MANY):
                some = SENT.c.key_hash.in_(hashes[start : start + MANY])
                query = select(SENT.c.key_hash, SENT.c.kind).where(*self._dead(), some).order_by(SENT.c.id)
                for hashed, kind in connection.execute(query):
                    if found.get(by_hash[hashed]) != "added":  # a record that was never added must be added first
                        found[by_hash[hashed]] = kind
        return found

    def dead_removals(self) -> list[Change]:
        """The deletions that are dead letters."""
        with reading(self._engine) as connection:
            query = select(SENT.c.row).where(*self._dead(), SENT.c.kind == "removed")
            said = [exact_json.loads_checked(text) for text in connection.scalars(query) if text]
        return [Change("removed", key_from(key), row) for key, row in said]

    def _dead(self) -> tuple[Any, Any]:
        return SENT.c.sync == self._sync, SENT.c.state == "dead"


def intend(connection: Connection, sync: str, run: str, intents: Sequence[Intent]) -> None:
    """Note the events before they are sent."""
    rows = [
        {
            "id": intent.id,
            "sync": sync,
            "run": run,
            "key_hash": key_hash(intent.change.key),
            "kind": intent.change.kind,
            "state": "sending",
            "row": _row(intent.change),
        }
        for intent in intents
    ]
    if rows:
        connection.execute(inserting(connection, SENT).on_conflict_do_nothing(), rows)


def _row(change: Change) -> str | None:
    return exact_json.dumps([change.key, change.row]).decode() if change.kind == "removed" else None


def arrived(connection: Connection, sync: str, run: str, sent: Sequence[Intent]) -> None:
    """Note that the log has these events. One that holds the whole row supersedes dead letters of the same record."""
    died = select(SENT.c.id).where(SENT.c.sync == sync, SENT.c.state == "dead").limit(1)
    any_dead = connection.execute(died).first() is not None
    whole = [intent for intent in sent if intent.change.names is None] if any_dead else []
    for start in range(0, len(whole), MANY):
        some = whole[start : start + MANY]
        same = SENT.c.key_hash.in_([key_hash(intent.change.key) for intent in some])
        others = SENT.c.id.not_in([intent.id for intent in some])
        connection.execute(delete(SENT).where(SENT.c.sync == sync, SENT.c.state == "dead", same, others))
    connection.execute(update(SENT).where(SENT.c.run == run, SENT.c.state == "sending").values(state="pending"))


def withdraw(connection: Connection, run: str, ids: Iterable[str]) -> None:
    """Forget these events: they never came into the log."""
    gone = list(ids)
    for start in range(0, len(gone), MANY):
        connection.execute(delete(SENT).where(SENT.c.run == run, SENT.c.id.in_(gone[start : start + MANY])))


def key_hash(key: Key) -> str:
    return blake2b(repr(key).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


class Outcomes:
    """Counts the outcomes of events that syncs have sent, from the ledger. Any number of processes may do so."""

    def __init__(self, engine: Engine, log: Log) -> None:
        self._engine = engine
        self._log = log

    def begin(self) -> None:
        """Count outcomes from the ledger's present end on; called before the first event of the first sync is sent."""
        ends = self._log.end_offsets(self._partitions())
        with self._engine.begin() as connection:
            for place, end in ends.items():
                first = {"topic": place.topic, "partition": place.number, "next_offset": end}
                connection.execute(inserting(connection, MARKS).values(first).on_conflict_do_nothing())

    def catch_up(self) -> int:
        """Count the outcomes up to the ledger's present end. Returns how many there were."""
        marks = self._marks()
        if not marks:
            return 0
        ends = self._log.end_offsets(list(marks))
        starts = {place: mark if mark <= ends[place] else 0 for place, mark in marks.items()}
        if not self._any_sent():
            self._move(marks, ends, [])
            return 0
        counted = 0
        source = self._log.reader(starts)
        try:
            while any(source.position(place) < end for place, end in ends.items()):
                records = source.poll(1.0)
                ours = [result for record in records for result in _ours(record.value)]
                now = {place: source.position(place) for place in starts}
                if not self._move(marks, now, ours):
                    return counted  # another process counts them
                marks = now
                counted += len(ours)
        finally:
            source.close()
        return counted

    def _partitions(self) -> list[Partition]:
        self._log.ensure_topics(self._log.names.system_topics)
        name = self._log.names.results
        return [Partition(name, number) for number in range(self._log.topics(name)[name])]

    def _marks(self) -> dict[Partition, int]:
        with reading(self._engine) as connection:
            return {Partition(row.topic, row.partition): row.next_offset for row in connection.execute(select(MARKS))}

    def _any_sent(self) -> bool:
        with reading(self._engine) as connection:
            return connection.execute(select(SENT.c.id).limit(1)).first() is not None

    def _move(self, before: Mapping[Partition, int], now: Mapping[Partition, int], ours: Sequence[Result]) -> bool:
        """Move the marks and write the counts in one transaction; False when another process has moved the marks."""
        if not ours and before == now:
            return True
        try:
            with self._engine.begin() as connection:
                for place, offset in now.items():
                    _move_one(connection, place, before[place], offset)
                for start in range(0, len(ours), MANY):
                    _count(connection, ours[start : start + MANY])
        except _MovedOn:
            return False
        return True


class _MovedOn(Exception):
    """Another process has counted these."""


def _move_one(connection: Connection, place: Partition, before: int, now: int) -> None:
    row = MARKS.c
    here = (row.topic == place.topic) & (row.partition == place.number)
    moved = update(MARKS).where(here, row.next_offset == before).values(next_offset=now)
    if not connection.execute(moved).rowcount:
        raise _MovedOn


def _count(connection: Connection, results: Sequence[Result]) -> None:
    by_id = {result.id: result for result in results}  # the last outcome of each event
    query = select(SENT.c.id, SENT.c.run).where(SENT.c.id.in_(list(by_id)))
    known = list(connection.execute(query))
    over = [one for one in known if by_id[one.id].outcome != "dead"]
    if over:
        connection.execute(delete(SENT).where(SENT.c.id.in_([one.id for one in over])))
        for run, count in Counter(one.run for one in over).items():
            connection.execute(update(RUNS).where(RUNS.c.id == run).values(delivered=RUNS.c.delivered + count))
    for one in known:
        result = by_id[one.id]
        if result.outcome == "dead":
            dead = {"state": "dead", "letter": result.letter}
            connection.execute(update(SENT).where(SENT.c.id == one.id).values(dead))


def _ours(value: bytes | None) -> list[Result]:
    try:
        return [result for result in unpack(value) if len(result.id) == 36 and result.id[14] == VERSION_8]
    except MalformedEvent:  # written by a later version; the worker, which reads the same topic, reports it
        return []
