"""What an event has written, in the words in which a refresh reads it: what verifying compares."""

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
    """``object``: the kind of record as a refresh names it; ``key``: the record, where the event itself says which.

    ``values``: what was sent, by the names that the vendor's own records have.
    """

    object: str
    key: str | None
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Identified:
    """How a record that was written is found among those that a refresh brought.

    ``column``: what it is there; ``field``: the same in an event. ``by_vendor_id``: it is what a delivery says that the
    vendor calls the record.
    """

    column: str
    field: str
    by_vendor_id: bool


def identified(spec: Sync) -> Identified:
    """By the key of its table."""
    key = spec.key[0]
    return Identified(key, spec.columns.get(key, key), by_vendor_id=key == "id")


def written(event: Event, name: str, told: Identified, fields: Mapping[str, Any]) -> Written:
    """Of an event whose ``fields`` are the record's own."""
    if isinstance(sought := fields.get("searchfield"), str) and "searchterm" in fields:
        rest = {field: value for field, value in fields.items() if field not in SEARCH_FIELDS}
        fields = {sought: fields["searchterm"], **rest}
    named = fields.get(told.field) if event.operation in {Operation.UPDATE, Operation.DELETE} else None
    return Written(name, None if named in (None, "") else str(named), fields)


def changed_column(spec: Sync) -> str:
    """The column that says when a record was changed, where there is one of that name."""
    path = spec.cursor.path if spec.cursor else None
    named = next((column for column, at in spec.columns.items() if at == path), None)
    return named or (path if path and spec.spread == "@" else "updated_at")


def addresses(spec: ObjectSpec | None) -> frozenset[str]:
    """Fields of an update that say which record is meant, and are none of its values."""
    operations = {} if spec is None else spec.operations
    update = next((one for each, one in operations.items() if each is Operation.UPDATE), None)
    if update is None or update.request is None:
        return frozenset()
    request = update.request
    return fields_named(request.params, request.body, paths=(request.path,))
