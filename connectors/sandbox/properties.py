"""The properties of HubSpot's objects: which there are, and which values they take."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import to_json

from connectors.sandbox.faults import Faults

_ADDRESS = "address city state zip country phone website hubspot_owner_id external_id"
_NAMES = {
    "contacts": "email firstname lastname company jobtitle mobilephone fax salutation lifecyclestage hs_lead_status "
    "date_of_birth gender industry message annualrevenue numemployees twitterhandle hs_language createdate "
    "lastmodifieddate hs_object_id associatedcompanyid",
    "companies": "name domain industry description annualrevenue numberofemployees lifecyclestage type founded_year "
    "linkedin_company_page timezone createdate hs_lastmodifieddate hs_object_id",
    "deals": "dealname amount dealstage pipeline closedate dealtype description hs_priority createdate "
    "hs_lastmodifieddate hs_object_id",
    "tickets": "subject content hs_pipeline hs_pipeline_stage hs_ticket_priority hs_ticket_category source_type "
    "createdate hs_lastmodifieddate hs_object_id",
}
_READ_ONLY = frozenset({"createdate", "lastmodifieddate", "hs_lastmodifieddate", "hs_object_id"})
_NUMBERS = frozenset({"amount", "numberofemployees"})
_TIMES = frozenset({"createdate", "lastmodifieddate", "hs_lastmodifieddate", "closedate"})
_REQUIRED = {"tickets": ("hs_pipeline_stage",)}
_EMAIL = re.compile(r"[^@\s\"]+@(?:[\w-]+\.)+([^\W\d_]{2,})", re.UNICODE)
_NO_TLD = frozenset({"con", "cmo", "comm", "invalid", "local", "localhost"})
"""HubSpot holds an address's end against IANA's list; these are the slips of the pen that a sandbox needs."""

DEFAULT_SHOWN = {
    "contacts": ("email", "firstname", "lastname", "createdate", "lastmodifieddate", "hs_object_id"),
    "companies": ("name", "domain", "createdate", "hs_lastmodifieddate", "hs_object_id"),
    "deals": ("dealname", "amount", "dealstage", "pipeline", "closedate", "createdate", "hs_lastmodifieddate"),
    "tickets": ("subject", "content", "hs_pipeline", "hs_pipeline_stage", "createdate", "hs_lastmodifieddate"),
}
SINGULAR = {"contacts": "CONTACT", "companies": "COMPANY", "deals": "DEAL", "tickets": "TICKET"}


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

    def kinds(self) -> tuple[str, ...]:
        return tuple(self._known)

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
             "fieldType": "text", "groupName": "information", "hasUniqueValue": name in unique}
            for name in sorted(self._known[kind])
        ]  # fmt: skip

    def missing(self, kind: str, properties: Mapping[str, str]) -> list[str]:
        """What a new record of this kind lacks."""
        return [name for name in _REQUIRED.get(kind, ()) if not properties.get(name)]

    def invalid(self, kind: str, properties: Mapping[str, str], faults: Faults) -> list[Invalid]:
        return [wrong for name, value in properties.items() if (wrong := self._wrong(kind, name, value, faults))]

    def _wrong(self, kind: str, name: str, value: str, faults: Faults) -> Invalid | None:
        if name not in self._known[kind]:
            return Invalid(name, "PROPERTY_DOESNT_EXIST", f'Property "{name}" does not exist')
        if name in _READ_ONLY:
            return Invalid(name, "READ_ONLY_VALUE", f'"{name}" is a read only property; its value cannot be set.')
        if name == "email" and value and not _is_email(value, faults):
            return Invalid(name, "INVALID_EMAIL", f"Email address {value} is invalid")
        if name in _NUMBERS and value and not re.fullmatch(r"-?\d+(\.\d+)?", value):
            return Invalid(name, "INVALID_DOUBLE", f"{value} was not a valid number.")
        if faults.refused_marker and faults.refused_marker in value:
            return Invalid(name, "INVALID_VALUE", f"{value} is not a value that this portal accepts")
        return None


def _type(name: str) -> str:
    return "number" if name in _NUMBERS else "datetime" if name in _TIMES else "string"


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
