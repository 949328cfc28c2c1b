"""Whether an event says anything new: it is compared with what was last sent for its record.

A loader that knows nothing of us empties a table and fills it again, or brings back what a trigger of another table has
sent. Its triggers fire, with values that the destination was given already. Such an event is dropped when it is an
update or an upsert (not one of a backfill: that was asked for), and when every field of it was sent last with the very
same value. A value that went away and came back is sent: A, B, A are three events.

That an event was sent does not say that it was delivered: it may be a dead letter. So a field counts for ``DAYS`` only.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from decimal import Decimal
from hashlib import blake2b
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
    """Of the rows of one batch, in their order. ``comparing``: the triggers whose events may be dropped."""

    def __init__(self, known: Mapping[Record, Fields], comparing: Collection[str], today: int) -> None:
        self._fields: dict[Record, Fields | None] = {**known}
        self._touched: set[Record] = set()
        self._comparing = comparing
        self._today = today

    def is_new(self, row: Row, value: bytes) -> bool:
        """Whether it must be sent; from then on it counts as sent. ``value``: the event's fields, as JSON."""
        record = record_of(row)
        if row.type not in _COMPARED:
            self.forget(record)
            return True
        said = {name: _digest(each) for name, each in _fields(value).items()}
        known = self._fields.get(record) or {}
        if row.trigger in self._comparing and not row.backfill and all(map(self._holds(known), said.items())):
            return False
        self._fields[record] = {**known, **{name: (self._today, digest) for name, digest in said.items()}}
        self._touched.add(record)
        return True

    def has_sent(self, record: Record) -> bool:
        """Whether an event of this batch is what is known of the record."""
        return record in self._touched

    def forget(self, record: Record) -> None:
        """An event of it cannot be sent: nothing is known any more."""
        self._fields[record] = None
        self._touched.add(record)

    def states(self, without: Collection[Record] = ()) -> dict[Record, Fields | None]:
        """What has changed; None: nothing is known, as of those ``without`` an event that did not get through."""
        return {record: self._fields[record] for record in self._touched} | dict.fromkeys(without)

    def _holds(self, known: Fields) -> Any:
        def held(field: tuple[str, str]) -> bool:
            day, digest = known.get(field[0], (self._today - DAYS, ""))
            return bool(digest == field[1]) and 0 <= self._today - day < DAYS  # a clock that was set back knows nothing

        return held


def _fields(value: bytes) -> dict[str, Any]:
    """Every digit counts; the quick parser is for what a double holds."""
    read: dict[str, Any] = json.loads(value, parse_float=Decimal) if exact_json.may_round(value) else from_json(value)
    return read


def _digest(value: Any) -> str:
    return blake2b(repr(value).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
