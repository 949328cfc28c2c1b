"""Odoo, over both of its wires."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any, ClassVar

import pytest

from connectors.contract import Connector, Delivered, Down, Rejected, Retry, Throttled, Unknown, Verdict
from connectors.errors import CallFailed, UnknownFunction
from connectors.registry import manifest
from connectors.saas.odoo.connector import OdooConnector
from connectors.sandbox.faults import Fate, Faults
from connectors.sandbox.odoo.models import EVERY, MODELS
from connectors.sandbox.odoo.wires import Odoo
from connectors.sandbox.server import Sandbox
from tests.conformance.connectors import NOW, SECRET, ConnectorContract
from tests.conformance.vendor import Told, Vendor
from topics.event.event import Event, Operation


def made(url: str, *, key: str = "good", **settings: Any) -> OdooConnector:
    settings = {
        "base_url": url,
        "database": "odoo",
        "username": "admin",
        "allow_private_addresses": True,
        **settings,
    }
    return OdooConnector(manifest("odoo"), settings, {"api_key": key}, now=lambda: NOW)


def event(operation: str, kind: str = "product", **fields: Any) -> Event:
    return Event(operation=Operation(operation), connection="odoo", object=kind, fields=fields)


class TestContract(ConnectorContract):
    """JSON-2. What is known of the model is known already: the suite counts requests."""

    name = "odoo"
    object = "product"
    add: ClassVar = {"name": "My product", "price": 100.05}
    update: ClassVar = {"id": 1, "name": "New product name"}
    delete: ClassVar = {"id": 456}
    api: ClassVar = "json2"

    def made(self, url: str, **settings: Any) -> Connector:
        connector = made(url, key=SECRET, api=self.api, **settings)
        connector.models["product.template"] = (NOW + 1, {**EVERY, **MODELS["product.template"]})
        return connector

    def success(self, operation: str) -> Told:
        return Told(body=b"[42]" if operation == "add" else b"true")

    @pytest.fixture
    async def vendor(self) -> AsyncIterator[Vendor]:
        async with Vendor(self.success("add")) as vendor:
            yield vendor

    @pytest.mark.parametrize(
        ("name", "message", "status", "added", "updated"),
        [
            ("odoo.exceptions.AccessDenied", "Access Denied", 401, Down, Down),
            ("psycopg2.OperationalError", 'database "x" does not exist', 500, Down, Down),
            ("odoo.exceptions.MissingError", "(Record: res.users(9,), User: 1)", 404, Down, Down),
            ("odoo.exceptions.MissingError", "(Record: product.template(9,), User: 2)", 404, Rejected, Rejected),
            ("psycopg2.errors.SerializationFailure", "could not serialize access", 500, Retry, Retry),
            ("psycopg2.InterfaceError", "connection already closed", 500, Unknown, Retry),
            ("odoo.exceptions.AccessError", "You are not allowed to create 'Product'", 403, Rejected, Rejected),
            ("odoo.exceptions.ValidationError", "a mandatory field is not set", 422, Rejected, Rejected),
            ("odoo.exceptions.UserError", "You cannot modify", 422, Rejected, Rejected),
            ("builtins.ValueError", "Invalid field 'x'", 500, Rejected, Rejected),
            ("an.Error.of.tomorrow", "?", 500, Retry, Retry),
        ],
    )
    async def test_errors(  # noqa: PLR0917 - a row of the table
        self, vendor: Vendor, connector: Connector, name: str, message: str, status: int, added: type, updated: type
    ) -> None:
        """The Python class of the exception decides; its traceback is kept nowhere."""
        told = self.refusal(name, message, status)
        verdicts = [await self.verdict(vendor, connector, operation, told) for operation in ("add", "update")]

        assert [type(verdict) for verdict in verdicts] == [added, updated]
        assert all(name in verdict.reason for verdict in verdicts)  # type: ignore[union-attr]
        assert "secret line" not in repr(verdicts)

    def refusal(self, name: str, message: str, status: int) -> Told:
        body = {"name": name, "message": message, "arguments": [message], "context": {}, "debug": "a secret line"}
        return Told(status, json.dumps(body).encode())

    async def test_what_exists_already(self, vendor: Vendor, connector: Connector) -> None:
        """A value that may be there only once is a conflict."""
        told = self.refusal("odoo.exceptions.ValidationError", "Barcode(s) already assigned: 1", 422)
        verdict = await self.verdict(vendor, connector, "add", told)

        assert isinstance(verdict, Rejected)
        assert verdict.conflict


class TestOlderServers(TestContract):
    """``/jsonrpc``: HTTP 200 for everything, and the same verdicts."""

    api: ClassVar = "jsonrpc"

    def made(self, url: str, **settings: Any) -> Connector:
        connector = super().made(url, **settings)
        assert isinstance(connector, OdooConnector)
        connector.sender._uid = 2  # type: ignore[attr-defined]  # logged in already: the suite counts requests
        return connector

    def success(self, operation: str) -> Told:
        result = "[42]" if operation == "add" else "true"
        return Told(body=b'{"jsonrpc": "2.0", "id": 1, "result": %s}' % result.encode())

    def refusal(self, name: str, message: str, status: int) -> Told:
        data = {"name": name, "message": message, "arguments": [message], "context": {}, "debug": "a secret line"}
        error = {"code": 200, "message": "Odoo Server Error", "data": data}
        return Told(200, json.dumps({"jsonrpc": "2.0", "id": 1, "error": error}).encode())


@pytest.fixture(params=[18, 19])
async def sandbox(request: pytest.FixtureRequest) -> AsyncIterator[Sandbox]:
    async with Sandbox(latency=0, odoo=Odoo(Faults(), version=request.param, key="good")) as sandbox:
        yield sandbox


@pytest.fixture
async def odoo(sandbox: Sandbox) -> AsyncIterator[OdooConnector]:
    connector = made(sandbox.url)
    yield connector
    await connector.close()


async def one(odoo: OdooConnector, operation: str, kind: str = "product", **fields: Any) -> Verdict:
    (verdict,) = await odoo.deliver([event(operation, kind, **fields)])
    return verdict


async def added(odoo: OdooConnector, kind: str, **fields: Any) -> int:
    verdict = await one(odoo, "add", kind, **fields)
    assert isinstance(verdict, Delivered), verdict
    return int(verdict.id or 0)


async def test_the_lines_that_scripts_have(sandbox: Sandbox, odoo: OdooConnector) -> None:
    """The usual four: a product is made, renamed and deleted, an invoice is changed; on old servers and on new ones."""
    product = await added(odoo, "product", name="My product", price=100.05)
    partner = await added(odoo, "contact", name="Acme")
    invoice = await added(odoo, "invoice", customer_id=partner, lines=[{"name": "x", "price_unit": 10}])
    renamed = await one(odoo, "update", id=product, name="New product name")
    changed = await one(odoo, "update", "invoice", id=invoice, payment_state="in_payment", note="...")
    shown = (await odoo.read("product", {"id": product})).detail[0]
    move = (await odoo.read("invoice", {"id": invoice})).detail[0]
    deleted = [await one(odoo, "delete", id=product), await one(odoo, "delete", id=product)]

    assert isinstance(renamed, Delivered)
    assert (shown["name"], shown["list_price"]) == ("New product name", 100.05)
    assert isinstance(changed, Delivered)
    assert "replaces what was written" in changed.detail["note"]
    assert (move["move_type"], move["payment_state"], move["narration"]) == ("out_invoice", "in_payment", "...")
    assert [type(verdict) for verdict in deleted] == [Delivered, Delivered]
    assert (await odoo.read("product", {"id": product})).detail == []
    assert odoo.sender._api == ("json2" if sandbox.odoo.version == 19 else "jsonrpc")  # type: ignore[attr-defined]


async def test_a_change_that_odoo_does_not_keep(sandbox: Sandbox, odoo: OdooConnector) -> None:
    """Odoo says yes to it and stores nothing: the event is no delivery."""
    partner = await added(odoo, "contact", name="Acme")
    invoice = await added(odoo, "invoice", customer_id=partner)
    sandbox.odoo.database.records["account.move"][invoice]["payment_state"] = "paid"
    verdict = await one(odoo, "update", "invoice", id=invoice, payment_state="not_paid")

    assert isinstance(verdict, Rejected)
    assert "kept payment_state at 'paid'" in verdict.reason


@pytest.mark.parametrize(
    ("kind", "fields", "words"),
    [
        ("contact", {"name": "A", "country_id": "Germany"}, "country_id takes the id of a res.country, not 'Germany'"),
        ("contact", {"name": "A", "is_company": "no"}, "is_company is true or false, not 'no'"),
        ("contact", {"name": "A", "emial": "x"}, "res.partner has no field 'emial'; did you mean 'email'?"),
        ("contact", {"name": "A", "display_name": "x"}, "display_name is kept by Odoo itself"),
        ("invoice", {"payment_state": "paid"}, "payment_state is kept by Odoo itself"),
        ("invoice", {"date": "2026-01-15T23:30:00Z"}, "Odoo would cut the time off"),
        ("invoice", {"lines": [{"product_id": "Desk"}]}, "product_id takes the id of a product.product"),
        ("order", {"lines": "x"}, "order_line is a list of records"),
        ("order", {"date_order": "tomorrow"}, "date_order is a time such as"),
        ("contact", {"id": 5, "name": "A"}, "a new record has no id"),
        ("contact", {"external_id": "a.b", "name": "A"}, "a new record has no external_id"),
    ],
)
async def test_what_odoo_would_drop_in_silence(
    sandbox: Sandbox, odoo: OdooConnector, kind: str, fields: dict[str, Any], words: str
) -> None:
    """It is refused by its name before it is sent, and the others of the batch go."""
    good = {"partner_id": 1} if kind == "order" else {"name": "good"} if kind == "contact" else {}
    if kind == "order":
        await added(odoo, "contact", name="Acme")
        good = {"partner_id": next(iter(sandbox.odoo.database.records["res.partner"]))}
    bad, fine = await odoo.deliver([event("add", kind, **fields), event("add", kind, **good)])

    assert isinstance(bad, Rejected)
    assert words in bad.reason
    assert isinstance(fine, Delivered)


async def test_values_that_are_put_right(odoo: OdooConnector) -> None:
    """What can mean one thing only arrives as Odoo wants it."""
    partner = await added(odoo, "contact", name="A", country_id="57", is_company="false", active=None)
    order = await added(odoo, "order", customer_id=[partner, "A"], date_order="2026-01-15T23:30:00+02:00")
    contact = (await odoo.read("contact", {"id": partner})).detail[0]
    shown = (await odoo.read("order", {"id": str(order)})).detail[0]

    assert (contact["country_id"][0], contact["is_company"], contact["active"]) == (57, False, False)
    assert (shown["partner_id"][0], shown["date_order"]) == (partner, "2026-01-15 21:30:00")


async def test_a_batch_with_one_bad_record(sandbox: Sandbox, odoo: OdooConnector) -> None:
    """Odoo refuses all of a list and does not say for whom: the worker is told to look for the culprit."""
    await added(odoo, "product", name="x", barcode="1")
    verdicts = await odoo.deliver([event("add", name="a"), event("add", name="b", barcode="1")])
    both = await odoo.deliver([event("add", name="a"), event("add", name="b")])

    assert [isinstance(verdict, Rejected) and verdict.whole for verdict in verdicts] == [True, True]
    assert [type(verdict) for verdict in both] == [Delivered, Delivered]
    assert len(sandbox.odoo.database.records["product.template"]) == 3


async def test_deleting_one_that_is_gone_among_others(sandbox: Sandbox, odoo: OdooConnector) -> None:
    """Nothing was done for the others: they are not taken for deleted."""
    product = await added(odoo, "product", name="x")
    verdicts = await odoo.deliver([event("delete", id=product), event("delete", id=999)])

    assert [isinstance(verdict, Rejected) and verdict.whole for verdict in verdicts] == [True, True]
    assert product in sandbox.odoo.database.records["product.template"]


async def test_upserts(sandbox: Sandbox, odoo: OdooConnector) -> None:
    """The same external id is the same record, once and again; a bad row is refused, and the others are there."""
    rows = [
        event("upsert", external_id="shop.a", name="A", price=1.5, active=True),
        event("upsert", external_id="shop.b", name="B", price=2),
    ]
    first = await odoo.deliver(rows)
    again = await odoo.deliver(rows)
    changed = await odoo.deliver(
        [
            event("upsert", external_id="shop.a", name="A2"),
            event("upsert", external_id="shop.c"),
            event("upsert", name="no id"),
            event("upsert", external_id="shop.d", name="D", barcode=7),
        ]
    )
    products = sandbox.odoo.database.records["product.template"]

    assert [type(verdict) for verdict in (*first, *again)] == [Delivered] * 4
    assert [one.id for one in first if isinstance(one, Delivered)] == [v.id for v in again if isinstance(v, Delivered)]
    assert [type(verdict) for verdict in changed] == [Delivered, Rejected, Rejected, Delivered]
    assert "external_id, the name by which" in changed[2].reason  # type: ignore[union-attr]
    assert {one["name"]: one["list_price"] for one in products.values()} == {"A2": 1.5, "B": 2.0, "D": 1.0}


async def test_an_upsert_links_by_id(odoo: OdooConnector) -> None:
    """A many2one goes by the record's number, and false empties it."""
    await one(odoo, "upsert", "contact", external_id="crm.1", name="A", country_id=57)
    linked = (await odoo.read("contact", {"searchfield": "name", "searchterm": "A"})).detail[0]
    await one(odoo, "upsert", "contact", external_id="crm.1", name="A", country_id=None)
    emptied = (await odoo.read("contact", {"id": linked["id"]})).detail[0]

    assert (linked["country_id"], emptied["country_id"]) == ([57, "Germany"], False)


async def test_a_row_that_somebody_else_writes(sandbox: Sandbox, odoo: OdooConnector) -> None:
    """``load`` calls it an error of the row: it is tried again, and the others are done."""
    message = {"type": "error", "record": 0, "message": "could not serialize access due to concurrent update"}
    body: Any = {"ids": False, "messages": [message], "nextrow": 0}
    if sandbox.odoo.version < 19:
        body = {"jsonrpc": "2.0", "id": 1, "result": body}
    await odoo._fields("product.template")
    sandbox.dice["odoo"].forced.append(Fate("answered", status=200, body=json.dumps(body)))
    verdicts = await odoo.deliver(
        [event("upsert", external_id="shop.a", name="A"), event("upsert", external_id="shop.b", name="B")]
    )

    assert [type(verdict) for verdict in verdicts] == [Retry, Delivered]


async def test_any_model(odoo: OdooConnector) -> None:
    """A model goes by its own name, too; what is neither is an unknown function."""
    tag = await added(odoo, "res.partner.category", name="Gold")
    page = await odoo.read("res.partner.category", {"searchfield": "name", "searchterm": "Gold"})
    nothing = await one(odoo, "add", "no.such.model", name="x")

    assert [record["id"] for record in page.detail] == [tag]
    assert isinstance(nothing, Rejected)
    with pytest.raises(UnknownFunction, match=r"odoo 1\.0 has product\.add"):
        odoo.function("ticket", Operation.ADD)


async def test_lists_go_page_by_page(odoo: OdooConnector) -> None:
    """Pages by id until there are no more; an invoice list has invoices, and a domain of one's own works."""
    ids = [await added(odoo, "product", name=f"p{number}") for number in range(5)]
    seen: list[int] = []
    bookmark = None
    while True:
        page = await odoo.read("product", {"limit": 2}, bookmark)
        seen += [record["id"] for record in page.detail]
        bookmark = page.bookmark
        if bookmark is None:
            break
    own = await odoo.read("product", {"domain": [["name", "ilike", "3"]], "fields": ["name"]})

    assert seen == ids
    assert own.detail == [{"id": ids[3], "name": "p3"}]
    with pytest.raises(CallFailed, match="not a list"):
        await odoo.read("product", {"domain": "name = x"})


async def test_what_a_refresh_reads(sandbox: Sandbox, odoo: OdooConnector) -> None:
    """Every record, page by page, with its links as numbers and what is empty as null; archived ones as well."""
    partner = await added(odoo, "contact", name="Acme", country_id=57, active=False)
    first = await added(odoo, "product", name="p0", price=1.5)
    for number in range(1, 502):
        sandbox.odoo.database.do_create("product.template", {"name": f"p{number}"})
    await added(odoo, "invoice", customer_id=partner)
    rows: dict[str, list[Any]] = {}
    for name in ("product", "contact", "invoice", "order"):
        rows[name] = [row async for page in odoo.source(name).pages("all", []) for row in page.rows]

    assert [row["name"] for row in rows["product"]] == [f"p{number}" for number in range(502)]
    assert rows["product"][0] == {
        "id": first, "name": "p0", "default_code": None, "barcode": None, "list_price": 1.5, "sale_ok": True,
        "active": True, "created_at": None, "updated_at": None,
    }  # fmt: skip
    assert (rows["contact"][0]["country_id"], rows["contact"][0]["active"]) == (57, False)
    assert (rows["invoice"][0]["partner_id"], rows["invoice"][0]["payment_state"]) == (partner, "not_paid")
    assert rows["order"] == []


async def test_credentials(sandbox: Sandbox) -> None:
    """A wrong key, another database and a missing user hold the connection, and say which it was."""
    wrong = made(sandbox.url, key="wrong")
    verdicts = [await one(wrong, "add", name="x"), await wrong.probe()]
    await wrong.close()
    if sandbox.odoo.version < 19:
        for settings in ({"database": "nodb"}, {"username": ""}):
            other = made(sandbox.url, **settings)
            verdicts.append(await one(other, "add", name="x"))
            await other.close()

    assert [type(verdict) for verdict in verdicts] == [Down] * len(verdicts)
    good = made(sandbox.url)
    assert isinstance(await good.probe(), Delivered)
    await good.close()


async def test_a_handshake_that_fails_sent_nothing(sandbox: Sandbox) -> None:
    """When the version or the log-in cannot be had, the call itself was not made: the connection is held."""
    for fate in (Fate("dropped"), Fate("unavailable"), Fate("throttled")):
        odoo = made(sandbox.url)
        sandbox.dice["odoo"].forced.append(fate)
        verdict = await one(odoo, "add", name="x")
        await odoo.close()
        assert isinstance(verdict, Down | Throttled), fate

    assert sandbox.odoo.database.records["product.template"] == {}
