"""What a connection cannot do is known before the first event."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.capabilities import Identity, identity, lacking
from tests.connectors.test_registry import connection

OWN = {"unique": {"deal": "external_id"}}
NAMES_ONE = '`writeback connections set Acme --set unique=\'{"deal": "external_id"}\'` names one'


@pytest.mark.parametrize(
    ("asked", "settings", "sent", "said"),
    [
        (("contact", "upsert"), {}, {"email"}, None),
        (("contact", "upsert"), {}, {"phone"}, "upsert contact needs email"),
        (("contact", "upsert"), {}, {"searchfield", "searchterm"}, None),
        (("deal", "upsert"), {}, {"amount"}, f"has none of its own for it: {NAMES_ONE}, or give searchfield"),
        (("deal", "upsert"), OWN, {"external_id"}, None),
        (("deal", "upsert"), OWN, {"amount"}, "upsert deal needs external_id"),
        (("deal", "upsert"), {}, {"searchfield", "searchterm"}, None),
        (("deal", "update"), {}, {"amount"}, "update deal needs id"),
        (("deal", "add"), {}, set(), None),
    ],
)
def test_what_is_lacking(asked: tuple[str, str], settings: dict[str, Any], sent: set[str], said: str | None) -> None:
    """The field, or the unique property with the command that names one."""
    lacks = lacking(connection(settings=settings), *asked, sent)

    assert lacks is None if said is None else said in str(lacks)


def test_an_alias_stands_for_its_field() -> None:
    """What everybody writes is what the vendor needs."""
    assert lacking(connection("slack"), "message", "message", {"channel", "text"}) is None
    assert lacking(connection("slack"), "message", "add", {"text"}) == "add message needs channel"


def test_identity() -> None:
    """By which property a function finds its record."""
    assert identity(connection(), "contact", "upsert") == Identity(by_unique=True, name="email")
    assert identity(connection(), "deal", "upsert") == Identity(by_unique=True)
    assert identity(connection(settings=OWN), "deal", "upsert") == Identity(by_unique=True, name="external_id")
    assert identity(connection(), "contact", "update") == Identity()
    assert identity(connection("http"), "order", "upsert") == Identity()


@pytest.mark.parametrize(
    ("connector", "settings", "asked", "found_by"),
    [
        ("google_sheets", {}, ("Prices", "upsert"), Identity(by_unique=True)),
        ("google_sheets", {"unique": {"Prices": "sku"}}, ("Prices", "update"), Identity(by_unique=True, name="sku")),
        ("google_sheets", {}, ("Prices", "delete"), Identity(by_unique=True, instead="rows")),
        ("salesforce", {}, ("Invoice__c", "upsert"), Identity(by_unique=True)),
        (
            "salesforce",
            {"unique": {"Asset": "Number__c"}},
            ("Asset", "upsert"),
            Identity(by_unique=True, name="Number__c"),
        ),
        ("salesforce", {}, ("contcat", "upsert"), Identity()),
        ("odoo", {}, ("res.country", "update"), Identity()),
        ("sql", {}, ("prices", "upsert"), Identity()),
    ],
)
def test_the_identity_of_any_kind_of_record(
    connector: str, settings: dict[str, Any], asked: tuple[str, str], found_by: Identity
) -> None:
    """A sheet, an sObject, a model: what the manifest does not list by its name is found as what it lists is."""
    assert identity(connection(connector, settings=settings), *asked) == found_by


@pytest.mark.parametrize(
    ("connector", "settings", "asked", "sent", "said"),
    [
        ("google_sheets", {"unique": {"Leads": "email"}}, ("Leads", "update"), {"Email"}, None),
        ("google_sheets", {"unique": {"Leads": "email"}}, ("Leads", "update"), {"x"}, "update Leads needs email"),
        ("google_sheets", {}, ("Leads", "upsert"), {"email"}, "give searchfield and searchterm"),
        ("google_sheets", {}, ("Leads", "delete"), {"rows"}, None),
        ("salesforce", {}, ("Invoice__c", "update"), {"Id"}, None),
        ("salesforce", {}, ("Invoice__c", "update"), {"Total__c"}, "update Invoice__c needs id"),
        ("odoo", {}, ("res.country", "delete"), {"name"}, "delete res.country needs id"),
    ],
)
def test_what_any_kind_of_record_lacks(
    connector: str, settings: dict[str, Any], asked: tuple[str, str], sent: set[str], said: str | None
) -> None:
    """Said before the first event; where a vendor does not see the case of a field's name, neither does this."""
    lacks = lacking(connection(connector, settings=settings), *asked, sent)

    assert lacks is None if said is None else said in str(lacks)
