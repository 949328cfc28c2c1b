"""The sObjects of the sandbox's org: a small part of the real ones, with the fields that scripts write."""

from __future__ import annotations

from typing import Any, Final


def _field(kind: str = "string", **more: Any) -> dict[str, Any]:
    return {"type": kind, "required": False, "externalId": False, "unique": False, "writable": True, **more}


_KEPT: Final = {
    "Id": _field("id", writable=False),
    "IsDeleted": _field("boolean", writable=False),
    "CreatedDate": _field("datetime", writable=False),
    "LastModifiedDate": _field("datetime", writable=False),
    "SystemModstamp": _field("datetime", writable=False),
}
_EXTERNAL: Final = _field(externalId=True, unique=True, length=255)
_PERSON: Final = {
    "FirstName": _field(length=40),
    "LastName": _field(required=True, length=80),
    "Name": _field(writable=False),
    "Email": _field("email", length=80),
    "Phone": _field("phone", length=40),
    "Title": _field(length=128),
}
OBJECTS: Final[dict[str, dict[str, dict[str, Any]]]] = {
    name: {**_KEPT, **fields}
    for name, fields in {
        "Organization": {"Name": _field()},
        "Account": {
            "Name": _field(required=True, length=255),
            "Website": _field("url", length=255),
            "Phone": _field("phone", length=40),
            "NumberOfEmployees": _field("int"),
            "BillingAddress": _field("address", writable=False),
            "Account_Key__c": _EXTERNAL,
        },
        "Contact": {
            **_PERSON,
            "AccountId": _field("reference", to="Account"),
            "Languages__c": _field("multipicklist", values=("English", "Dutch", "French")),
            "HasOptedOutOfEmail": _field("boolean"),
            "External_Id__c": _EXTERNAL,
            "Shared_Key__c": _field(externalId=True, length=80),
        },
        "Lead": {**_PERSON, "Company": _field(required=True, length=255), "External_Id__c": _EXTERNAL},
        "Opportunity": {
            "Name": _field(required=True, length=120),
            "StageName": _field("picklist", required=True, values=("Prospecting", "Closed Won", "Closed Lost")),
            "CloseDate": _field("date", required=True),
            "Amount": _field("currency"),
            "AccountId": _field("reference", to="Account"),
            "External_Id__c": _EXTERNAL,
        },
        "Case": {
            "Subject": _field(length=255),
            "Description": _field("textarea", length=32_000),
            "Origin": _field("picklist", values=("Phone", "Email", "Web")),
            "Status": _field("picklist", values=("New", "Working", "Closed")),
            "External_Id__c": _EXTERNAL,
        },
        "Task": {"Subject": _field(length=255), "Status": _field(), "Priority": _field(), "External_Id__c": _EXTERNAL},
        "Invoice__c": {"Number__c": _EXTERNAL, "Total__c": _field("double"), "Paid__c": _field("boolean")},
    }.items()
}
PREFIXES: Final = {
    "Organization": "00D", "Account": "001", "Contact": "003", "Lead": "00Q", "Opportunity": "006", "Case": "500",
    "Task": "00T", "Invoice__c": "a00",
}  # fmt: skip
