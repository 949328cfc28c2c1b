"""HubSpot's records: made, changed, archived and found, with unique properties and its own words for what is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from connectors.sandbox.faults import Faults
from connectors.sandbox.properties import DEFAULT_SHOWN, SINGULAR, Schema, not_valid, texts

FIRST_ID = 101
NOT_SET = "Invalid input JSON: some required fields were not set"


class Refused(Exception):
    """What HubSpot says no to."""

    def __init__(self, status: int, category: str, message: str, context: dict[str, list[str]] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.category = category
        self.message = message
        self.context = context or {}


@dataclass(slots=True)
class Stored:
    """A record; ``changed`` is monotonic, for the lag of the search."""

    id: str
    properties: dict[str, str]
    created_at: str
    updated_at: str
    changed: float
    archived: bool = False
    associations: list[Any] = field(default_factory=list)

    def shown(self, names: Iterable[str]) -> dict[str, Any]:
        properties = self.properties
        return {
            "id": self.id,
            "properties": {name: properties.get(name) for name in names},
            "createdAt": self.created_at,
            "updatedAt": self.updated_at,
            "archived": self.archived,
        }


class Portal:
    """All records of one account."""

    def __init__(self, faults: Faults) -> None:
        self.schema = Schema()
        self.faults = faults
        self.records: dict[str, dict[str, Stored]] = {kind: {} for kind in self.schema.kinds()}
        self._index: dict[tuple[str, str, str], str] = {}
        self._next_id = FIRST_ID

    def create(self, kind: str, properties: Mapping[str, Any], now: float, at: float) -> Stored:
        values = self._valid(kind, properties)
        if missing := self.schema.missing(kind, values):
            raise Refused(
                400, "VALIDATION_ERROR", f"Error creating {SINGULAR[kind]}. Some required properties were not set.",
                {"properties": missing},
            )  # fmt: skip
        self._refuse_taken(kind, values, own_id="")
        record = Stored(str(self._next_id), {}, when := _iso(at), when, now)
        self._next_id += 1
        record.properties["createdate"] = when
        self.records[kind][record.id] = record
        self._set(kind, record, values, now, when)
        return record

    def update(self, kind: str, record: Stored, properties: Mapping[str, Any], now: float, at: float) -> Stored:
        values = self._valid(kind, properties)
        self._refuse_taken(kind, values, own_id=record.id)
        self._set(kind, record, values, now, _iso(at))
        return record

    def archive(self, kind: str, record_id: str, now: float) -> bool:
        """False when there is no such record; HubSpot answers the same either way."""
        record = self.records[kind].get(record_id)
        if record is None or record.archived:
            return False
        record.archived = True
        record.changed = now
        for name in self.schema.unique(kind):
            self._index.pop((kind, name, record.properties.get(name, "").lower()), None)
        return True

    def restore(self, kind: str, record: Stored, before: dict[str, str] | None) -> None:
        """Undo a write of a batch that is refused as a whole: to ``before``, or away when it was new."""
        for name in self.schema.unique(kind):
            self._index.pop((kind, name, record.properties.get(name, "").lower()), None)
        if before is None:
            del self.records[kind][record.id]
            return
        record.properties = before
        self._remember(kind, record)

    def find(self, kind: str, value: str, id_property: str = "", *, archived: bool = False) -> Stored | None:
        """By id, or by a property with unique values. Raises ``Refused`` when the property has none."""
        if id_property and id_property != "hs_object_id":
            if id_property not in self.schema.unique(kind):
                raise Refused(400, "VALIDATION_ERROR", f"The property {id_property} does not have unique values")
            value = self._index.get((kind, id_property, value.lower()), "")
        record = self.records[kind].get(value)
        return record if record is not None and record.archived == archived else None

    def linked(self, kind: str, record_id: str, other: str) -> list[str]:
        """The ids of the other kind's records that this one is associated with, whichever of the two says so."""
        here = self.records[kind].get(record_id)
        named = [] if here is None or here.archived else _targets(here)
        back = [one.id for one in self.records[other].values() if not one.archived and record_id in _targets(one)]
        ids = dict.fromkeys([*named, *back])
        return [one for one in ids if one in self.records[other] and not self.records[other][one].archived]

    def shown(self, kind: str, record: Stored, names: Iterable[str] = ()) -> dict[str, Any]:
        """As a read shows it: the default properties and the ones asked for."""
        wanted = dict.fromkeys((*DEFAULT_SHOWN[kind], *names))
        return record.shown(wanted)

    def written(self, record: Stored) -> dict[str, Any]:
        """As a write shows it: everything that is set."""
        return record.shown(record.properties)

    def _valid(self, kind: str, properties: Mapping[str, Any]) -> dict[str, str]:
        try:
            values = texts(properties)
        except ValueError as error:
            raise Refused(400, "VALIDATION_ERROR", f"Invalid input JSON: {error}") from error
        if invalid := self.schema.invalid(kind, values, self.faults):
            raise Refused(400, "VALIDATION_ERROR", not_valid(invalid), {"propertyName": [w.name for w in invalid]})
        if "email" in values:
            values["email"] = values["email"].lower()
        return values

    def _refuse_taken(self, kind: str, values: Mapping[str, str], own_id: str) -> None:
        for name in self.schema.unique(kind):
            value = values.get(name)
            other = self._index.get((kind, name, value.lower())) if value else None
            if other is None or other == own_id:
                continue
            if name == "email":
                raise Refused(409, "CONFLICT", f"Contact already exists. Existing ID: {other}")
            where = f"objectTypeId={kind}, objectId={own_id or 'new'}, propertyName={name}, value={value}"
            taken = f"Cannot set PropertyValueCoordinates{{{where}}}. {other} already has that value."
            raise Refused(400, "VALIDATION_ERROR", taken)

    def _set(self, kind: str, record: Stored, values: Mapping[str, str], now: float, when: str) -> None:
        for name in self.schema.unique(kind):
            if name in values and name in record.properties:
                self._index.pop((kind, name, record.properties[name].lower()), None)
        record.properties.update(values)
        record.properties["hs_object_id"] = record.id
        record.properties["lastmodifieddate" if kind == "contacts" else "hs_lastmodifieddate"] = when
        record.updated_at = when
        record.changed = now
        self._remember(kind, record)

    def _remember(self, kind: str, record: Stored) -> None:
        for name in self.schema.unique(kind):
            if value := record.properties.get(name):
                self._index[kind, name, value.lower()] = record.id


def _targets(record: Stored) -> list[str]:
    """``associations`` as a create sends them: ``[{"to": {"id": ...}, "types": [...]}]``."""
    return [str(one["to"]["id"]) for one in record.associations if isinstance(one, dict) and "to" in one]


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
