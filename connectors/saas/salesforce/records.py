"""An event's fields as a record of Salesforce's. Pure; what it would refuse in a riddle is refused here by its name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from connectors.engine.template.text import as_text
from connectors.saas.salesforce import soql
from topics.event.event import Event, Operation

LONG_ID: Final = 18
"""Characters of an id with its checksum, which says which letters are capitals."""
SHORT_ID: Final = 15
SEARCH: Final = frozenset({"searchfield", "searchterm"})


def record_of(event: Event, sobject: str, values: Mapping[str, Any], unique: str | None) -> dict[str, Any]:
    """The fields that travel, ``attributes`` among them. ``unique``: the field by which an upsert finds its record.

    Raises ``ValueError``.
    """
    record = {"id" if name.lower() == "id" else name: _value(value) for name, value in values.items()}
    if event.operation is Operation.DELETE:
        return {"id": _id(record)}
    if event.operation is Operation.UPDATE:
        record["id"] = _id(record)
    elif "id" in record:
        raise ValueError("a new record has no id, and an upsert goes by an external id; with an id it is an update")
    if event.operation is Operation.UPSERT:
        record = _by_external_id(event, record, unique)
    return {"attributes": {"type": sobject}, **record}


def whole_name(values: Mapping[str, Any], aliases: Mapping[str, Any]) -> Mapping[str, Any]:
    """A name of a single word is a last name, which is the one that Salesforce needs."""
    name = values.get("name")
    if not isinstance(aliases.get("name"), list) or not isinstance(name, str) or len(name.split()) != 1:
        return values
    return {"LastName": name.strip(), **{field: value for field, value in values.items() if field != "name"}}


def external_field(fields: Mapping[str, Any], configured: str | None) -> str:
    """The external id field of an upsert: what the event says, else what the connection says. Raises ``ValueError``."""
    name = fields.get("searchfield") or configured
    if not name:
        raise ValueError(
            "an upsert needs an external id field: name it in the connection's setting unique, "
            'as in {"contact": "External_Id__c"}, or with the event as searchfield and searchterm'
        )
    if not isinstance(name, str) or soql.NAME.fullmatch(name) is None:
        raise ValueError(f"{name!r} is not the name of a field, such as External_Id__c")
    return name


def _by_external_id(event: Event, record: dict[str, Any], unique: str | None) -> dict[str, Any]:
    name = external_field(event.fields, unique)
    given = event.fields.get("searchterm")
    rest = {field: value for field, value in record.items() if field not in SEARCH}
    for field in list(rest):
        if field.lower() == name.lower():
            given = rest.pop(field) if given is None else given
            rest.pop(field, None)
    if given is None or given == "":
        raise ValueError(f"an upsert needs {name}, the external id by which the record is found again")
    return {name: given, **rest}


def _id(record: Mapping[str, Any]) -> str:
    value = as_text(record.get("id") or "")
    if (
        not isinstance(value, str)
        or not value.isascii()
        or not value.isalnum()
        or len(value) not in {SHORT_ID, LONG_ID}
    ):
        raise ValueError(f"id is {record.get('id')!r}; the id of a record has 15 or 18 letters and digits")
    return value


def _value(value: Any) -> Any:
    """A list of values is a multi-select picklist, which travels as one text."""
    if isinstance(value, list) and all(isinstance(one, str | int | float) for one in value):
        return as_text(value)
    return value
