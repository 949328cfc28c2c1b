"""Carries out a plan: sends its events to the log, then updates the snapshot, batch by batch.

Before a batch is sent, it is written into the run's journal together with the log's end offsets. When the log has its
events, one transaction writes the rows into the snapshot. After a crash in between, the next run finishes the batch
first: it reads the log from those offsets, and sends only the events whose ids it does not find there. An event's id is
made of the run and the content, so it is the same each time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import Engine

from topics.errors import RecordRefused
from topics.event.codec import Encoded
from topics.log import Log, Partition, Position, Producer
from topics.log.backlog import event_ids
from worker.syncs.plan.file import Line, packed
from worker.syncs.plan.target import Target, Unsendable
from worker.syncs.run.lease import HeldLease
from worker.syncs.snapshot.blocks import Blocks, Writer, key_to
from worker.syncs.snapshot.compare import Kind
from worker.syncs.source.shape import Refused
from worker.syncs.state.runs import Run, note_sent
from worker.syncs.state.sent import Intent, arrived, intend, withdraw
from worker.syncs.state.syncs import Standing, fence

BATCH_EVENTS = 1_000
BATCH_LINES = 200
REWRITE = 50
"""Rewriting a block of the snapshot takes as long as this many events."""
SETTLE_S = 1.0
"""Seconds to wait before the log is read: what a killed process had handed to the network may still arrive."""
LOOK_S = 1.0
"""Seconds between two checks of the lease while the log does not answer."""


class _Event(NamedTuple):
    intent: Intent
    encoded: Encoded


@dataclass
class Sender:
    """``tick`` is called with the number of events that the log has taken."""

    store: Engine
    log: Log
    producer: Producer
    target: Target
    run: Run
    holding: HeldLease
    standing: Standing
    tick: Callable[[int], None]
    refuse: Callable[[Refused], None]
    ends: dict[Partition, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._rows = self.standing.rows
        self._version = self.standing.version
        self._writer = Writer(self.store, self.target.sync.name, Blocks(self.store, self.target.sync.name).index())

    def carry_out(self, lines: Iterable[Line]) -> None:
        """Send these lines.

        Raises ``Fenced``, ``LogUnavailable``, ``StoreUnavailable``; the next run then goes on where this one was.
        """
        for batch in _batches(lines):
            events, refused = self._events(batch)
            self._intend(batch, events)
            self._finish(batch, events, refused, already=set())

    def finish_cut_off(self, batch: Sequence[Line], already: set[str]) -> None:
        """Finish the batch of a run that was cut off. ``already``: the ids of its events that the log has."""
        events, refused = self._events(batch)
        with self.holding.writing() as connection:
            fence(connection, self.target.sync.name, self.holding.epoch)
        self._finish(batch, events, refused, already=already)

    def _finish(self, batch: Sequence[Line], events: Sequence[_Event], refused: set[Any], *, already: set[str]) -> None:
        lost = self._send([event for event in events if event.intent.id not in already])
        sent = [event for event in events if event.intent.id not in lost]
        self._settle(batch, sent, refused | _keys(events, lost))
        self.tick(len(sent))

    def finish(self, cursor: dict[str, Any] | None, due: float | None) -> None:
        """All lines are sent: note the cursor for the next run. ``due``: the moment of the schedule that it ran for."""
        over = {} if due is None else {"due": due}
        with self.holding.writing() as connection:
            fence(connection, self.target.sync.name, self.holding.epoch, cursor=cursor, **over)
            note_sent(connection, self.run.id, {}, {"open": False, "after": None})

    def _events(self, batch: Sequence[Line]) -> tuple[list[_Event], set[Any]]:
        """The events of a batch, and the keys of rows that no event can be made of."""
        events, refused = [], set()
        for line in batch:
            for change in line.changes:
                if change.kind not in self.target.functions:
                    continue
                try:
                    identifier, encoded = self.target.event(self.run.id, change)
                except Unsendable as error:
                    refused.add(change.key)
                    self.refuse(Refused(change.key, str(error)))
                else:
                    events.append(_Event(Intent(identifier, change), encoded))
        return events, refused

    def _intend(self, batch: Sequence[Line], events: Sequence[_Event]) -> None:
        sync = self.target.sync.name
        ends = {str(place): offset for place, offset in self.ends.items()}
        with self.holding.writing() as connection:
            fence(connection, sync, self.holding.epoch)
            intend(connection, sync, self.run.id, [event.intent for event in events])
            note_sent(connection, self.run.id, {}, {"open": True, "journal": packed(batch), "ends": ends})

    def _send(self, events: Sequence[_Event]) -> dict[str, str]:
        """Send the events and wait until the log has them. Returns id → reason for those that it refuses for good."""
        topic = self.log.names.events_topic(self.target.connection.slug)
        out: list[tuple[_Event, Future[Position]]] = []
        lost: dict[str, str] = {}
        for event in events:
            self.holding.keep()
            key, value, headers = event.encoded
            try:
                out.append((event, self.producer.send(topic, key=key, value=value, headers=headers)))
            except RecordRefused as error:
                lost[event.intent.id] = str(error)
        for event, future in out:
            try:
                partition, offset = self._answer(future)
            except RecordRefused as error:
                lost[event.intent.id] = str(error)
            else:
                self.ends[partition] = max(self.ends.get(partition, 0), offset + 1)
        for event in events:
            if event.intent.id in lost:
                self.refuse(Refused(event.intent.change.key, lost[event.intent.id]))
        return lost

    def _answer(self, future: Future[Position]) -> Position:
        while not wait([future], LOOK_S).done:
            self.holding.keep()
        return future.result()

    def _settle(self, batch: Sequence[Line], sent: Sequence[_Event], refused: set[Any]) -> None:
        """Write the rows into the snapshot, in one transaction with the counts and the journal."""
        sync, kept = self.target.sync.name, self.target.sync.mode != "full"
        self._rows += sum(self._keep(line, refused) for line in batch) if kept else 0
        counts: Counter[Kind] = Counter(event.intent.change.kind for event in sent)
        with self.holding.writing() as connection:
            if refused:
                withdraw(connection, self.run.id, [intent.id for intent in self._refused_intents(batch, refused)])
            arrived(connection, sync, self.run.id, [event.intent for event in sent])
            self._writer.write(connection)
            self._version += 1
            fence(connection, sync, self.holding.epoch, rows=self._rows, version=self._version)
            after = {} if kept else {"after": key_to(batch[-1].changes[-1].key)} if batch[-1].changes else {}
            ends = {str(place): offset for place, offset in self.ends.items()}
            note_sent(
                connection,
                self.run.id,
                {"sent": len(sent), "refused": len(refused), **_kinds(counts)},
                {"open": False, "journal": None, "ends": ends, **after},
            )

    def _keep(self, line: Line, refused: set[Any]) -> int:
        changes = [change for change in line.changes if change.key not in refused]
        digest = line.digest if len(changes) == len(line.changes) else None
        if line.position is not None:
            return self._writer.apply(line.position, changes, digest)
        return self._writer.append([one for one in changes if one.kind != "removed"], digest)

    def _refused_intents(self, batch: Sequence[Line], refused: set[Any]) -> Iterator[Intent]:
        for line in batch:
            for change in line.changes:
                if change.key in refused:
                    try:
                        yield Intent(self.target.event(self.run.id, change)[0], change)
                    except Unsendable:
                        continue


def removals(lines: Iterable[Line]) -> Iterator[Line]:
    """The removals, which are sent first: a row whose key changed is removed under the old key, added under the new."""
    for line in lines:
        gone = [change for change in line.changes if change.kind == "removed"]
        if gone:
            yield Line(line.position, None, gone)


def others(lines: Iterable[Line]) -> Iterator[Line]:
    for line in lines:
        yield line._replace(changes=[change for change in line.changes if change.kind != "removed"])


def recovered(log: Log, target: Target, starts: Mapping[Partition, int], wait: Callable[[float], Any]) -> set[str]:
    """The ids of this sync's events that the log has from these offsets on, for finishing a run that was cut off."""
    wait(SETTLE_S)
    return event_ids(log, starts, source=target.sync.source)


def _batches(lines: Iterable[Line]) -> Iterator[list[Line]]:
    """Group lines until they cost as much as a thousand events; a line is never split.

    A batch is one transaction, and SQLite lets nobody else write meanwhile.
    """
    batch: list[Line] = []
    count = 0
    for line in lines:
        batch.append(line)
        count += len(line.changes) + (REWRITE if line.changes else 0)
        if count >= BATCH_EVENTS or len(batch) >= BATCH_LINES:
            yield batch
            batch, count = [], 0
    if batch:
        yield batch


def _keys(events: Sequence[_Event], lost: Mapping[str, str]) -> set[Any]:
    return {event.intent.change.key for event in events if event.intent.id in lost}


def _kinds(counts: Mapping[Kind, int]) -> dict[str, int]:
    return {
        "added": counts.get("added", 0) + counts.get("full", 0),
        "changed": counts.get("changed", 0),
        "removed": counts.get("removed", 0),
    }
