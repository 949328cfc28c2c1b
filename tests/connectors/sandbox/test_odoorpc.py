"""The client that people use for Odoo works against the sandbox: that is what the sandbox is believed for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import odoorpc
import pytest

from connectors.sandbox.faults import Faults
from connectors.sandbox.odoo.wires import Odoo
from connectors.sandbox.server import Sandbox
from tests.connectors.sandbox_thread import running


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with running(Sandbox(latency=0, odoo=Odoo(Faults(), key="good"))) as sandbox:
        yield sandbox


def client(sandbox: Sandbox, key: str = "good") -> Any:
    odoo = odoorpc.ODOO("127.0.0.1", protocol="jsonrpc", port=urlsplit(sandbox.url).port)
    odoo.login("odoo", "admin", key)
    return odoo


def test_a_record_is_made_changed_read_and_deleted(sandbox: Sandbox) -> None:
    """The methods that everybody uses."""
    odoo = client(sandbox)
    partners = odoo.env["res.partner"]
    first = partners.create({"name": "Acme", "country_id": 57})
    ids = partners.create([{"name": "B"}, {"name": "C"}])
    partners.write([first], {"email": "a@acme.com"})
    shown = partners.read([first], ["name", "email", "country_id"])
    found = partners.search([("name", "=", "C")])
    partners.unlink(ids)

    assert odoo.version == "18.0"
    assert shown == [{"id": first, "name": "Acme", "email": "a@acme.com", "country_id": [57, "Germany"]}]
    assert found == [ids[1]]
    assert partners.search([]) == [first]


def test_what_a_wrong_call_is_told(sandbox: Sandbox) -> None:
    """Errors are inside HTTP 200, with the class of the server's exception."""
    odoo = client(sandbox)
    told = []
    for model, method, args in (
        ("no.such.model", "create", [{}]),
        ("res.partner", "create", [{}]),
        ("res.partner", "write", [[999], {"name": "x"}]),
        ("res.partner", "nothing", []),
        ("res.partner", "_write", []),
        ("res.partner", "create", [[{"name": "ok"}, {"colour": "red"}]]),
    ):
        with pytest.raises(odoorpc.error.RPCError) as caught:
            odoo.execute_kw(model, method, args, {})
        told.append(caught.value.info["data"]["name"])
    with pytest.raises(odoorpc.error.RPCError):
        client(sandbox, "wrong")

    assert told == [
        "odoo.exceptions.UserError",
        "odoo.exceptions.ValidationError",
        "odoo.exceptions.MissingError",
        "builtins.AttributeError",
        "odoo.exceptions.AccessError",
        "builtins.ValueError",
    ]
    assert odoo.env["res.partner"].search([]) == []


def test_a_load_is_all_or_nothing_and_finds_its_records_again(sandbox: Sandbox) -> None:
    """The same external id is the same record; a bad row is named, and nothing is kept."""
    odoo = client(sandbox)
    partners = odoo.env["res.partner"]
    rows = [["shop.a", "A"], ["shop.b", "B"]]
    first = partners.load(["id", "name"], rows)
    again = partners.load(["id", "name"], rows)
    bad = partners.load(["id", "name", "country_id/.id"], [["shop.c", "C", "57"], ["shop.d", "D", "9"]])

    assert first["ids"] == again["ids"]
    assert (bad["ids"], [one["record"] for one in bad["messages"]]) == (False, [1])
    assert len(partners.search([])) == 2


def test_what_says_yes_and_means_less(sandbox: Sandbox) -> None:
    """A many2one by name is emptied, "false" is true, the payment state is gone when the invoice is posted."""
    odoo = client(sandbox)
    partner = odoo.env["res.partner"].create({"name": "A", "country_id": "Germany", "is_company": "false"})
    move = odoo.env["account.move"].create({"move_type": "out_invoice", "partner_id": partner})
    odoo.execute_kw("account.move", "write", [[move], {"payment_state": "in_payment"}], {})
    stored = odoo.env["account.move"].read([move], ["payment_state"])[0]["payment_state"]
    posted = odoo.execute_kw("account.move", "action_post", [[move]], {})
    after = odoo.env["account.move"].read([move], ["payment_state"])[0]["payment_state"]
    shown = odoo.env["res.partner"].read([partner], ["country_id", "is_company"])[0]

    assert (shown["country_id"], shown["is_company"]) == (False, True)
    assert (stored, posted, after) == ("in_payment", False, "not_paid")
