"""Drops events that say nothing new: they are compared with what was last sent for their record.

Some loaders empty a table and fill it again, or read back what a trigger has sent. Then triggers fire with values that
the destination has already. An event is dropped when it is an update or an upsert, does not come from a backfill (which
somebody asked for), and each of its fields has exactly the value that was sent last. A value that changes and changes
back is sent: A, B, A are three events.

What was sent may have become a dead letter instead of being delivered. So it is remembered for ``DAYS`` only.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from decimal import Decimal
from hashlib import blake2b
from types import MappingProxyType
from typing import Any, Final

from pydantic_core import from_json

from topics.event import exact_json
from topics.event.codec import TYPE_PREFIX
from topics.event.event import Operation
from topics.outbox.relaying import Row
from topics.outbox.sent import Fields, Record

DAYS: Final = 7
_COMPARED: Final = frozenset({TYPE_PREFIX + operation for operation in (Operation.UPDATE, Operation.UPSERT)})


def record_of(row: Row) -> Record:
    return Record(row.aggregatetype, row.aggregateid)


class Memory:
    """What was last sent for the records of a batch; asked row by row, in order.

    ``comparing``: the triggers whose events may be dropped.
    ``known``: what was sent last for their records, each as JSON (``topics/outbox/sent``); it is read where it counts.
    ``since``: what the batch before has changed of it, which may not have been there when ``known`` was read.
    """

    def __init__(
        self,
        known: Mapping[Record, str],
        comparing: Collection[str],
        today: int,
        since: Mapping[Record, Fields | None] = MappingProxyType({}),
    ) -> None:
        self._known = known
        self._since = since
        self._touched: dict[Record, Fields | None] = {}
        self._comparing = comparing
        self._today = today

    def is_new(self, record: Record, row: Row, value: bytes) -> bool:
        """Whether the row must be sent; if so, it counts as sent from then on. ``value``: its fields, as JSON."""
        if row.type not in _COMPARED:
            self.forget(record)
            return True
        today = f"{self._today} "
        said = {name: today + _hash(each) for name, each in _fields(value).items()}
        known = self._fields_of(record)
        if known and row.trigger in self._comparing and not row.backfill and self._holds(known, said):
            return False
        self._touched[record] = {**known, **said} if known else said
        return True

    def has_sent(self, record: Record) -> bool:
        """Whether the last event of the record is one of this batch."""
        return record in self._touched

    def forget(self, record: Record) -> None:
        """Forget what was sent for a record, because an event of it cannot be compared or sent."""
        self._touched[record] = None

    def states(self, without: Collection[Record] = ()) -> dict[Record, Fields | None]:
        """The records whose state has changed; None: unknown, as for those in ``without``, whose event failed."""
        return self._touched | dict.fromkeys(without)

    def _fields_of(self, record: Record) -> Fields | None:
        if record in self._touched:
            return self._touched[record]
        if record in self._since:
            return self._since[record]
        known = self._known.get(record)
        return from_json(known) if known else None

    def _holds(self, known: Fields, said: Fields) -> bool:
        for name, now in said.items():
            before = known.get(name)
            if before == now:
                continue
            day, _, same = (before or "").partition(" ")
            # a day in the future says that the clock was set back
            if same != now.partition(" ")[2] or not 0 <= self._today - int(day) < DAYS:
                return False
        return True


def _fields(value: bytes) -> dict[str, Any]:
    """Parsed with every digit kept; the quick parser is used only when a double holds all numbers."""
    read: dict[str, Any] = json.loads(value, parse_float=Decimal) if exact_json.may_round(value) else from_json(value)
    return read


def _hash(value: Any) -> str:
    return blake2b(repr(value).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
