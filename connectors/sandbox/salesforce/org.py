"""The records of one org: made, changed, upserted and deleted, with Salesforce's own words for what is wrong."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any, Final

from connectors.sandbox.faults import Faults
from connectors.sandbox.salesforce.objects import OBJECTS, PREFIXES

_ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
_DIGITS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_EMAIL: Final = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_MALFORMED: Final = (
    "Cannot deserialize instance of {} from VALUE_STRING value {} or request may be missing a required field"
)


class SalesforceError(Exception):
    """``status``: where it is the answer to a whole request."""

    def __init__(self, code: str, message: str, fields: tuple[str, ...] = (), status: int = 400) -> None:
        super().__init__(message)
        self.code, self.message, self.fields, self.status = code, message, list(fields), status


@dataclass(slots=True)
class Org:
    """``locked``: ids of records that somebody else is writing."""

    faults: Faults
    records: dict[str, dict[str, dict[str, Any]]] = field(default_factory=lambda: {name: {} for name in OBJECTS})
    locked: set[str] = field(default_factory=set)
    _numbers: Any = field(default_factory=lambda: count(1))

    @classmethod
    def new(cls, faults: Faults) -> Org:
        org = cls(faults)
        org.create("Organization", {"Name": "Sandbox"}, 0.0)
        return org

    def sobject(self, name: str) -> str:
        """The object of that name, whatever its case. Raises ``SalesforceError``."""
        found = next((one for one in OBJECTS if one.lower() == name.lower()), None)
        if found is None:
            raise SalesforceError("NOT_FOUND", "The requested resource does not exist", status=404)
        return found

    def create(self, sobject: str, values: Mapping[str, Any], at: float) -> str:
        checked = self._checked(sobject, values)
        needed = [
            name for name, spec in OBJECTS[sobject].items() if spec["required"] and checked.get(name) in {None, ""}
        ]
        if needed:
            words = f"Required fields are missing: [{', '.join(needed)}]"
            raise SalesforceError("REQUIRED_FIELD_MISSING", words, tuple(needed))
        self._refuse_taken(sobject, checked, own="")
        number = _id(PREFIXES[sobject], next(self._numbers))
        when = _time(at)
        self.records[sobject][number] = {
            **dict.fromkeys(OBJECTS[sobject]), **checked, "Id": number, "IsDeleted": False, "CreatedDate": when,
        }  # fmt: skip
        self._touch(sobject, number, when)
        return number

    def update(self, sobject: str, number: str, values: Mapping[str, Any], at: float) -> str:
        record = self.existing(sobject, number)
        checked = self._checked(sobject, values)
        self._refuse_taken(sobject, checked, own=record["Id"])
        emptied = [n for n, v in checked.items() if OBJECTS[sobject][n]["required"] and v in {None, ""}]
        if emptied:
            raise SalesforceError(
                "REQUIRED_FIELD_MISSING", f"Required fields are missing: [{', '.join(emptied)}]", tuple(emptied)
            )
        record.update(checked)
        self._touch(sobject, record["Id"], _time(at))
        return str(record["Id"])

    def upsert(self, sobject: str, external: str, value: Any, values: Mapping[str, Any], at: float) -> tuple[str, bool]:
        """The id, and whether the record is new."""
        found = self.matching(sobject, external, value)
        if len(found) > 1:
            words = f"{external}: more than one record found for external id field: [{', '.join(found)}]"
            raise SalesforceError("DUPLICATE_EXTERNAL_ID", words, (external,), status=300)
        name = self._external(sobject, external)
        rest = {field: one for field, one in values.items() if field.lower() != name.lower()}
        if found:
            return self.update(sobject, found[0], rest, at), False
        return self.create(sobject, {**rest, name: value}, at), True

    def delete(self, sobject: str, number: str, at: float) -> str:
        """Into the recycle bin."""
        record = self.existing(sobject, number)
        record["IsDeleted"] = True
        self._touch(sobject, record["Id"], _time(at))
        return str(record["Id"])

    def existing(self, sobject: str, number: str) -> dict[str, Any]:
        """By an id of 15 or 18 characters. Raises ``SalesforceError``."""
        if not number.isalnum() or len(number) not in {15, 18}:
            raise SalesforceError("MALFORMED_ID", f"{sobject} ID: id value of incorrect type: {number}", ("Id",))
        record = next((one for key, one in self.records[sobject].items() if key[:15] == number[:15]), None)
        if record is None:
            raise SalesforceError("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", status=404)
        if record["IsDeleted"]:
            raise SalesforceError("ENTITY_IS_DELETED", "entity is deleted", status=404)
        if record["Id"] in self.locked:
            words = f"unable to obtain exclusive access to this record or 1 records: {record['Id']}"
            raise SalesforceError("UNABLE_TO_LOCK_ROW", words)
        return record

    def of_id(self, number: str) -> str:
        """Which sObject an id is of. Raises ``SalesforceError``."""
        found = next((name for name, prefix in PREFIXES.items() if number.startswith(prefix)), None)
        if found is None or len(number) not in {15, 18}:
            raise SalesforceError("MALFORMED_ID", f"malformed id {number}", ("Id",))
        return found

    def matching(self, sobject: str, external: str, value: Any) -> list[str]:
        name = self._external(sobject, external)
        wanted = str(value).lower()
        records = self.records[sobject].values()
        return [one["Id"] for one in records if not one["IsDeleted"] and str(one.get(name) or "").lower() == wanted]

    def _external(self, sobject: str, name: str) -> str:
        found = next((one for one in OBJECTS[sobject] if one.lower() == name.lower()), None)
        if found is None or not OBJECTS[sobject][found]["externalId"]:
            words = "Provided external ID field does not exist or is not accessible: " + name
            raise SalesforceError("NOT_FOUND", words, status=404)
        return found

    def _checked(self, sobject: str, values: Mapping[str, Any]) -> dict[str, Any]:
        known = {name.lower(): name for name in OBJECTS[sobject]}
        checked: dict[str, Any] = {}
        for given, value in values.items():
            name = known.get(given.lower())
            if name is None:
                raise SalesforceError("INVALID_FIELD", f"No such column '{given}' on sobject of type {sobject}")
            spec = OBJECTS[sobject][name]
            if not spec["writable"]:
                words = f"Unable to create/update fields: {name}. Please check the security settings of this field"
                raise SalesforceError("INVALID_FIELD_FOR_INSERT_UPDATE", words, (name,))
            checked[name] = None if value is None or value == "" else self._value(name, value, spec)
        return checked

    def _value(self, name: str, value: Any, spec: Mapping[str, Any]) -> Any:
        if isinstance(value, str) and self.faults.refused_marker in value:
            raise SalesforceError("FIELD_CUSTOM_VALIDATION_EXCEPTION", f"{name}: not here", (name,))
        convert: _Convert = _KINDS.get(spec["type"], _text)
        return convert(self, name, value, spec)

    def _refuse_taken(self, sobject: str, values: Mapping[str, Any], own: str) -> None:
        for name, spec in OBJECTS[sobject].items():
            if not spec["unique"] or values.get(name) is None:
                continue
            taken = [one for one in self.matching(sobject, name, values[name]) if one != own]
            if taken:
                words = f"duplicate value found: {name} duplicates value on record with id: {taken[0]}"
                raise SalesforceError("DUPLICATE_VALUE", words)

    def _touch(self, sobject: str, number: str, when: str) -> None:
        record = self.records[sobject][number]
        record["LastModifiedDate"] = record["SystemModstamp"] = when
        if "LastName" in OBJECTS[sobject]:
            record["Name"] = " ".join(filter(None, (record["FirstName"], record["LastName"])))


def _text(_org: Org, name: str, value: Any, spec: Mapping[str, Any]) -> str:
    if isinstance(value, dict | list):
        raise SalesforceError("JSON_PARSER_ERROR", _MALFORMED.format("string", value))
    text = str(value)
    if spec.get("length") and len(text) > spec["length"]:
        words = f"{name}: data value too large: {text[:40]} (max length={spec['length']})"
        raise SalesforceError("STRING_TOO_LONG", words, (name,))
    return text


def _email(org: Org, name: str, value: Any, spec: Mapping[str, Any]) -> str:
    text = _text(org, name, value, spec)
    if not _EMAIL.fullmatch(text) or text.rpartition("@")[2] in org.faults.refused_domains:
        raise SalesforceError("INVALID_EMAIL_ADDRESS", f"{name}: invalid email address: {text}", (name,))
    return text


def _number(_org: Org, _name: str, value: Any, spec: Mapping[str, Any]) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise SalesforceError("JSON_PARSER_ERROR", _MALFORMED.format(spec["type"], value)) from None
    return int(number) if spec["type"] == "int" else number


def _boolean(_org: Org, _name: str, value: Any, _spec: Mapping[str, Any]) -> bool:
    if not isinstance(value, bool):
        raise SalesforceError("JSON_PARSER_ERROR", _MALFORMED.format("boolean", value))
    return value


def _date(_org: Org, _name: str, value: Any, _spec: Mapping[str, Any]) -> str:
    try:
        return datetime.fromisoformat(str(value)).date().isoformat()
    except ValueError:
        raise SalesforceError("JSON_PARSER_ERROR", _MALFORMED.format("date", value)) from None


def _picked(_org: Org, name: str, value: Any, spec: Mapping[str, Any]) -> str:
    for one in str(value).split(";"):
        if one not in spec["values"]:
            words = f"{name}: bad value for restricted picklist field: {one}"
            raise SalesforceError("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", words, (name,))
    return str(value)


def _reference(org: Org, name: str, value: Any, spec: Mapping[str, Any]) -> str:
    if len(str(value)) not in {15, 18}:
        raise SalesforceError("MALFORMED_ID", f"{name}: id value of incorrect type: {value}", (name,))
    return str(org.existing(spec["to"], str(value))["Id"])


_Convert = Callable[[Org, str, Any, Mapping[str, Any]], Any]
_KINDS: Final[dict[str, _Convert]] = {
    "email": _email, "int": _number, "double": _number, "currency": _number, "boolean": _boolean, "date": _date,
    "picklist": _picked, "multipicklist": _picked, "reference": _reference,
}  # fmt: skip


def _id(prefix: str, number: int) -> str:
    """18 characters: 15 that tell case apart, and a checksum of three that says which letters are capitals."""
    digits = ""
    for _ in range(9):
        number, rest = divmod(number, 62)
        digits = _DIGITS[rest] + digits
    short = f"{prefix}gK0{digits}"
    chunks = (short[start : start + 5] for start in range(0, 15, 5))
    return short + "".join(
        _ALPHABET[sum(one.isupper() << place for place, one in enumerate(chunk))] for chunk in chunks
    )


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "+0000"
