"""Reads what was delivered: the outcomes from the ledger, and the fields from the events, as far as the log has them.

The ledger keeps a row for each event for four weeks, but no fields. These are in the event itself, which its topic
keeps for ``WRITEBACK_EVENTS_RETENTION`` (7 days).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

from connectors.engine.runner.runner import HttpConnector
from connectors.errors import UnknownFunction
from topics.errors import MalformedEvent
from topics.event import codec
from topics.event.result import Result, unpack
from topics.log import Log, Partition, Record
from topics.log.backlog import partitions_of, read_to_end
from worker.refresher.verify.scratch import Delivery, Scratch

Advance = Callable[[int], None]


@dataclass(slots=True)
class Left:
    """Events that cannot be verified, by reason: kinds of records that no refresh reads, events that name no record."""

    not_read: Counter[str] = field(default_factory=Counter)
    nameless: int = 0
    not_in_log: int = 0
    """Events that the log has deleted, whether or not their record is known."""


@dataclass(slots=True)
class Reading:
    """``wanted``: kinds of records to look at, None for all. ``left`` is filled as it goes."""

    log: Log
    slug: str
    connector: HttpConnector
    scratch: Scratch
    wanted: Collection[str] | None = None
    left: Left = field(default_factory=Left)

    @property
    def topic(self) -> str:
        return self.log.names.events_topic(self.slug)

    def ledger(self, since: float | None, advance: Advance) -> int:
        """Read what was delivered since then (seconds since the epoch; None: all the ledger has).

        Returns the number of events.
        """
        places = partitions_of(self.log, self.log.names.results)
        starts = self.log.start_offsets(places)
        if since is not None:
            found = self.log.offsets_at(places, int(since * 1_000))
            starts = {place: max(start, found[place]) for place, start in starts.items()}
        for records in read_to_end(self.log, starts):
            self.scratch.add(self._rows(records, since))
            advance(len(records))
        return sum(count for _, _, _, count in self.scratch.spans())

    def events(self, advance: Advance) -> None:
        """Read from the log what these events have written; of events that it has deleted, note what is known."""
        places = set(partitions_of(self.log, self.topic))
        for number, first, last, _ in self.scratch.spans():
            place = Partition(self.topic, number)
            if place in places:
                self._partition(place, first, last, advance)
        for delivery in self.scratch.unplaced():
            if delivery.fields is None:
                self._unread(delivery)

    def _rows(self, records: list[Record], since: float | None) -> Iterator[tuple[Any, ...]]:
        for result in (result for record in records for result in _results(record.value)):
            if result.outcome != "delivered" or result.topic != self.topic or (since or 0.0) > result.time:
                continue
            kind = self.connector.synced_as(result.object)
            if kind is None and (self.wanted is None or result.object in self.wanted):
                self.left.not_read[result.object] += 1
            elif kind is not None and (self.wanted is None or kind in self.wanted):
                vendor_id = None if result.detail is None else str(result.detail)
                yield (
                    result.partition, result.offset, result.id, result.object, result.operation, vendor_id, result.time
                )  # fmt: skip

    def _partition(self, place: Partition, first: int, last: int, advance: Advance) -> None:
        start = max(first, self.log.start_offsets([place])[place])
        for records in read_to_end(self.log, {place: start}):
            known = self.scratch.at(place.number, records[0].offset, records[-1].offset)
            for record in records:
                if delivery := known.get(record.offset):
                    self._event(delivery, record)
            advance(len(known))
            if records[-1].offset >= last:
                return

    def _event(self, delivery: Delivery, record: Record) -> None:
        try:
            event = codec.decode(record)
            written = self.connector.written(event)
        except (MalformedEvent, UnknownFunction):
            return
        # another event at this offset: the topic was deleted and created again
        if event.id != delivery.event or written is None:
            return
        field = self.connector.identified(written.object).field
        own = self._vendor_id(delivery, written.object) or written.key or _keyed(field, written)
        if own is not None:
            values = None if delivery.operation == "delete" else written.values
            self.scratch.write(delivery, written.object, own, event.fields, values)

    def _unread(self, delivery: Delivery) -> None:
        kind = self.connector.synced_as(delivery.object)
        assert kind is not None  # ``ledger`` has left out the kinds that no refresh reads
        own = self._vendor_id(delivery, kind)
        if own is None:
            self.left.nameless += 1
            return
        self.left.not_in_log += 1
        self.scratch.write_unread(delivery, kind, own)

    def _vendor_id(self, delivery: Delivery, kind: str) -> str | None:
        """The vendor's id of the record, where records of this kind are found by it."""
        return delivery.vendor_id if self.connector.identified(kind).by_vendor_id else None


def _keyed(key: str, written: Any) -> str | None:
    value = written.values.get(key)
    return None if value in (None, "") else str(value)


def _results(value: bytes | None) -> list[Result]:
    try:
        return unpack(value)
    except MalformedEvent:
        return []  # written by a later version
