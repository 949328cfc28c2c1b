"""What an event has written, in the form in which a refresh reads it; `writeback verify` compares that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from connectors.engine.manifest.model import ObjectSpec
from connectors.engine.manifest.read import Sync
from connectors.engine.template.placeholders import SEARCH_FIELDS, fields_named
from topics.event.event import Event, Operation


@dataclass(frozen=True, slots=True)
class Written:
    """``object``: the kind of record, as a refresh names it. ``key``: the record, if the event itself names it.

    ``values``: what was sent, under the names in the vendor's records.
    """

    object: str
    key: str | None
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Identified:
    """How a record that was written is found among those that a refresh has read.

    ``column``: the column that identifies it there. ``field``: the same in an event. ``by_vendor_id``: its value is the
    vendor's id of the record, which a delivery returns.
    """

    column: str
    field: str
    by_vendor_id: bool


def identified(spec: Sync) -> Identified:
    """A record is identified by the key of its table."""
    key = spec.key[0]
    return Identified(key, spec.columns.get(key, key), by_vendor_id=key == "id")


def written(event: Event, name: str, told: Identified, fields: Mapping[str, Any]) -> Written:
    """What an event has written whose ``fields`` are those of the record."""
    if isinstance(sought := fields.get("searchfield"), str) and "searchterm" in fields:
        rest = {field: value for field, value in fields.items() if field not in SEARCH_FIELDS}
        fields = {sought: fields["searchterm"], **rest}
    named = fields.get(told.field) if event.operation in {Operation.UPDATE, Operation.DELETE} else None
    return Written(name, None if named in (None, "") else str(named), fields)


def changed_column(spec: Sync) -> str:
    """The column that says when a record was last changed, or the name that it would have."""
    path = spec.cursor.path if spec.cursor else None
    named = next((column for column, at in spec.columns.items() if at == path), None)
    return named or (path if path and spec.spread == "@" else "updated_at")


def addresses(spec: ObjectSpec | None) -> frozenset[str]:
    """The fields of an update that only say which record is meant, and are not written."""
    operations = {} if spec is None else spec.operations
    update = next((one for each, one in operations.items() if each is Operation.UPDATE), None)
    if update is None or update.request is None:
        return frozenset()
    request = update.request
    return fields_named(request.params, request.body, paths=(request.path,))
