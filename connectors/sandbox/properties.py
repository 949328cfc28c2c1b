"""The properties of HubSpot's objects: which there are, and which values they take."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic_core import to_json

from connectors.sandbox.faults import Faults

_ADDRESS = "address city state zip country phone website hubspot_owner_id external_id"
_NAMES = {
    "contacts": "email firstname lastname company jobtitle mobilephone fax salutation lifecyclestage hs_lead_status "
    "date_of_birth gender industry message annualrevenue numemployees twitterhandle hs_language createdate interests "
    "lastmodifieddate hs_object_id associatedcompanyid hs_additional_emails hs_merged_object_ids",
    "companies": "name domain industry description annualrevenue numberofemployees lifecyclestage type founded_year "
    "linkedin_company_page timezone createdate hs_lastmodifieddate hs_object_id",
    "deals": "dealname amount dealstage pipeline closedate dealtype description hs_priority createdate "
    "hs_lastmodifieddate hs_object_id",
    "tickets": "subject content hs_pipeline hs_pipeline_stage hs_ticket_priority hs_ticket_category source_type "
    "createdate hs_lastmodifieddate hs_object_id",
    "notes": "hs_note_body hs_timestamp hs_attachment_ids createdate hs_lastmodifieddate hs_object_id",
}
_READ_ONLY = frozenset(
    {"createdate", "lastmodifieddate", "hs_lastmodifieddate", "hs_object_id", "hs_additional_emails",
     "hs_merged_object_ids"}
)  # fmt: skip
_NUMBERS = frozenset({"amount", "numberofemployees"})
_TIMES = frozenset({"createdate", "lastmodifieddate", "hs_lastmodifieddate", "closedate", "hs_timestamp"})
_CHOICES = {"interests": frozenset({"cars", "boats", "trains"})}
"""Multiple checkboxes: the options of each; a value is some of them, joined with semicolons."""
_REQUIRED = {"tickets": ("hs_pipeline_stage",), "notes": ("hs_timestamp",)}
_EMAIL = re.compile(r"[^@\s\"]+@(?:[\w-]+\.)+([^\W\d_]{2,})", re.UNICODE)
_NO_TLD = frozenset({"con", "cmo", "comm", "invalid", "local", "localhost"})
"""HubSpot holds an address's end against IANA's list; these are the slips of the pen that a sandbox needs."""

DEFAULT_SHOWN = {
    "contacts": ("email", "firstname", "lastname", "createdate", "lastmodifieddate", "hs_object_id"),
    "companies": ("name", "domain", "createdate", "hs_lastmodifieddate", "hs_object_id"),
    "deals": ("dealname", "amount", "dealstage", "pipeline", "closedate", "createdate", "hs_lastmodifieddate"),
    "tickets": ("subject", "content", "hs_pipeline", "hs_pipeline_stage", "createdate", "hs_lastmodifieddate"),
}
_SHOWN = ("createdate", "hs_lastmodifieddate", "hs_object_id")
_SINGULAR = {"contacts": "CONTACT", "companies": "COMPANY", "deals": "DEAL", "tickets": "TICKET", "notes": "NOTE"}
TYPE_IDS = {"contacts": "0-1", "companies": "0-2", "deals": "0-3", "tickets": "0-5", "notes": "0-46"}


@dataclass(frozen=True, slots=True)
class Invalid:
    """One property that HubSpot refuses, as its message lists them."""

    name: str
    error: str
    message: str

    def listed(self) -> dict[str, Any]:
        return {"isValid": False, "message": self.message, "error": self.error, "name": self.name}


class Schema:
    """The properties of one portal. ``external_id`` is a custom property with unique values on every object."""

    def __init__(self) -> None:
        self._known = {kind: {*words.split(), *_ADDRESS.split()} for kind, words in _NAMES.items()}
        self._unique = {kind: {"external_id"} | ({"email"} if kind == "contacts" else set()) for kind in _NAMES}
        self._required: dict[str, tuple[str, ...]] = dict(_REQUIRED)

    def add_kind(self, kind: str, names: Iterable[str], required: Iterable[str]) -> None:
        """A custom object."""
        self._known[kind] = {*names, *_SHOWN}
        self._unique[kind] = set()
        self._required[kind] = tuple(required)

    def kinds(self) -> tuple[str, ...]:
        return tuple(self._known)

    def shown(self, kind: str) -> tuple[str, ...]:
        """The properties that a read shows without being asked."""
        return DEFAULT_SHOWN.get(kind, _SHOWN)

    def add(self, kind: str, name: str, *, unique: bool = False) -> None:
        """A custom property."""
        self._known[kind].add(name)
        if unique:
            self._unique[kind].add(name)

    def unique(self, kind: str) -> set[str]:
        return self._unique[kind]

    def listing(self, kind: str) -> list[dict[str, Any]]:
        unique = self._unique[kind]
        return [
            {"name": name, "label": name, "type": _type(name),
             "fieldType": "checkbox" if name in _CHOICES else "text", "groupName": "information",
             "hasUniqueValue": name in unique}
            for name in sorted(self._known[kind])
        ]  # fmt: skip

    def missing(self, kind: str, properties: Mapping[str, str]) -> list[str]:
        """What a new record of this kind lacks."""
        return [name for name in self._required.get(kind, ()) if not properties.get(name)]

    def invalid(self, kind: str, properties: Mapping[str, str], faults: Faults) -> list[Invalid]:
        return [wrong for name, value in properties.items() if (wrong := self._wrong(kind, name, value, faults))]

    def _wrong(self, kind: str, name: str, value: str, faults: Faults) -> Invalid | None:
        if name not in self._known[kind]:
            return Invalid(name, "PROPERTY_DOESNT_EXIST", f'Property "{name}" does not exist')
        if name in _READ_ONLY:
            return Invalid(name, "READ_ONLY_VALUE", f'"{name}" is a read only property; its value cannot be set.')
        if value and (wrong := _wrong_value(name, value, faults)) is not None:
            return wrong
        if faults.refused_marker and faults.refused_marker in value:
            return Invalid(name, "INVALID_VALUE", f"{value} is not a value that this portal accepts")
        return None


def _wrong_value(name: str, value: str, faults: Faults) -> Invalid | None:
    """What the type of a property does not take."""
    options = _CHOICES.get(name)
    if options is not None and not options.issuperset(value.removeprefix(";").split(";")):
        return Invalid(name, "INVALID_OPTION", f"{value} was not one of the allowed options: {sorted(options)}")
    if name == "email" and not _is_email(value, faults):
        return Invalid(name, "INVALID_EMAIL", f"Email address {value} is invalid")
    if name in _NUMBERS and not re.fullmatch(r"-?\d+(\.\d+)?", value):
        return Invalid(name, "INVALID_DOUBLE", f"{value} was not a valid number.")
    if name == "hs_timestamp" and not _is_time(value):
        return Invalid(name, "INVALID_DATE", f"{value} was not a valid date or time.")
    return None


def singular(kind: str) -> str:
    """As HubSpot's messages call one record of the kind."""
    return _SINGULAR.get(kind, kind)


def _type(name: str) -> str:
    if name in _CHOICES:
        return "enumeration"
    return "number" if name in _NUMBERS else "datetime" if name in _TIMES else "string"


def _is_time(value: str) -> bool:
    """Milliseconds, or ISO 8601."""
    if value.isdigit():
        return True
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


def texts(properties: Mapping[str, Any]) -> dict[str, str]:
    """Values as HubSpot keeps them, all text; raises ``ValueError`` for a list or an object."""
    return {name: value if type(value) is str else _text(name, value) for name, value in properties.items()}


def not_valid(invalid: list[Invalid]) -> str:
    return f"Property values were not valid: {to_json([wrong.listed() for wrong in invalid]).decode()}"


def _text(name: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float | str):
        return str(value)
    raise ValueError(f"Cannot deserialize value of type `java.lang.String` for the property {name}")


def _is_email(value: str, faults: Faults) -> bool:
    match = _EMAIL.fullmatch(value)
    if match is None or match[1].lower() in _NO_TLD:
        return False
    return value.rpartition("@")[2].lower() not in faults.refused_domains
