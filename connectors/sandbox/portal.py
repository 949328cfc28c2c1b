"""HubSpot's records: made, changed, archived and found, with unique properties and its own words for what is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from connectors.sandbox.associations import Associations
from connectors.sandbox.faults import Faults
from connectors.sandbox.properties import Schema, not_valid, singular, texts

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
        self.associations = Associations()
        self.merged: dict[tuple[str, str], str] = {}
        """By kind and the id of a record that is gone into another: that one's id."""
        self._index: dict[tuple[str, str, str], str] = {}
        self._next_id = FIRST_ID

    def add_kind(self, kind: str, names: Iterable[str], required: Iterable[str]) -> None:
        self.schema.add_kind(kind, names, required)
        self.records[kind] = {}

    def create(
        self, kind: str, properties: Mapping[str, Any], now: float, at: float, associations: object = None
    ) -> Stored:
        values = self._valid(kind, properties)
        links = self._targets(kind, associations)
        if missing := self.schema.missing(kind, values):
            raise Refused(
                400, "VALIDATION_ERROR", f"Error creating {singular(kind)}. Some required properties were not set.",
                {"properties": missing},
            )  # fmt: skip
        self._refuse_taken(kind, values, own_id="")
        record = Stored(str(self._next_id), {}, when := _iso(at), when, now)
        self._next_id += 1
        record.properties["createdate"] = when
        self.records[kind][record.id] = record
        self._set(kind, record, values, now, when)
        for there, other, type_ids in links:
            self.associations.link(kind, record.id, there, other, type_ids)
        return record

    def merge(self, kind: str, primary: Stored, other: Stored, now: float, at: float) -> Stored:
        """``other`` goes into ``primary``: its id leads there from now on, and its email is a further one of it."""
        values = {name: value for name, value in other.properties.items() if not primary.properties.get(name)}
        emails = [other.properties.get("email"), *_split(other, "hs_additional_emails")]
        self.archive(kind, other.id, now)
        self._set(kind, primary, values, now, _iso(at))
        further = dict.fromkeys([*_split(primary, "hs_additional_emails"), *filter(None, emails)])
        further.pop(primary.properties.get("email", ""), None)
        if kind == "contacts":
            primary.properties["hs_additional_emails"] = ";".join(further)
        self._index |= {(kind, "email", email): primary.id for email in further}
        merged = [*_split(primary, "hs_merged_object_ids"), other.id]
        primary.properties["hs_merged_object_ids"] = ";".join(merged)
        self.merged |= {(kind, gone): primary.id for gone in (*merged, *_split(other, "hs_merged_object_ids"))}
        self.associations.move(kind, other.id, primary.id)
        return primary

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
        record = self.records[kind].get(value if archived else self.merged.get((kind, value), value))
        return record if record is not None and record.archived == archived else None

    def refuse_strangers(self, *records: tuple[str, str]) -> None:
        """What is to be associated has to be there."""
        for kind, record_id in records:
            if self.find(kind, record_id) is None:
                named = f"{singular(kind)}={record_id} is not valid"
                raise Refused(
                    400, "VALIDATION_ERROR", "One or more associations are invalid",
                    {"INVALID_OBJECT_IDS": [named], "objectId": [record_id], "objectType": [singular(kind)]},
                )  # fmt: skip

    def shown(self, kind: str, record: Stored, names: Iterable[str] = ()) -> dict[str, Any]:
        """As a read shows it: the default properties and the ones asked for."""
        wanted = dict.fromkeys((*self.schema.shown(kind), *names))
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

    def _targets(self, kind: str, associations: object) -> list[tuple[str, str, list[int]]]:
        """``associations`` as a create has them: ``[{"to": {"id": ...}, "types": [...]}]``; the type says the kind."""
        links = []
        if not isinstance(associations, list | None):
            raise Refused(400, "VALIDATION_ERROR", "Invalid input JSON: associations is not a list")
        for one in associations or []:
            try:
                record_id, type_ids = str(one["to"]["id"]), [each["associationTypeId"] for each in one["types"]]
                there = self.associations.target(kind, type_ids[0])
            except (IndexError, KeyError, TypeError) as error:
                raise Refused(400, "VALIDATION_ERROR", f"{NOT_SET}: [associations.to.id, types]") from error
            if there is None or not all(self.associations.known(kind, there, each) for each in type_ids):
                raise Refused(400, "VALIDATION_ERROR", f"No association type {type_ids} from {singular(kind)}")
            self.refuse_strangers((there, record_id))
            links.append((there, record_id, type_ids))
        return links

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
        further = _split(record, "hs_additional_emails")
        if values.get("email") in further:
            # the contact has it already: the two change places
            further[further.index(values["email"])] = record.properties["email"]
            record.properties["hs_additional_emails"] = ";".join(further)
            self._index[kind, "email", record.properties["email"]] = record.id
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


def _split(record: Stored, name: str) -> list[str]:
    return [part for part in record.properties.get(name, "").split(";") if part]


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
