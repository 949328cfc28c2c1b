"""Xero, as its manifest and its connector have it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import jsonschema
import pytest

from connectors.contract import Connector, Delivered, Down, Found, Rejected, Throttled, Verdict
from connectors.errors import CallFailed
from connectors.registry import manifest
from connectors.saas.xero.connector import XeroConnector
from connectors.sandbox.faults import Fate, Faults
from connectors.sandbox.server import Sandbox
from connectors.sandbox.xero.wires import TENANT, Xero
from tests.conformance.connectors import NOW, SECRET, ConnectorContract
from tests.conformance.vendor import Told, Vendor
from topics.event.event import Event, Operation

SCHEMAS: dict[str, Any] = json.loads((Path(__file__).parent / "xero_schemas.json").read_text())
VALIDATORS = {
    name: jsonschema.Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": SCHEMAS["$defs"]})
    for name in ("Contacts", "Invoices", "CreditNotes", "Payments", "PaymentDelete", "Items")
}
LINES = [{"Description": "1000 chairs", "Quantity": 1000, "UnitAmount": 25.5, "AccountCode": "200"}]
INVOICE: dict[str, Any] = {
    "Contact": {"Name": "Acme"},
    "LineItems": LINES,
    "Date": "2026-01-31",
    "DueDate": "2026-02-28",
}


def made(url: str, secret: str = SECRET, limits: dict[str, Any] | None = None, /, **settings: Any) -> XeroConnector:
    settings = {"base_url": url, "allow_private_addresses": True, "tenant_id": TENANT, **settings}
    return XeroConnector(manifest("xero"), settings, {"access_token": secret}, limits, now=lambda: NOW)


def event(operation: str, kind: str = "invoice", **fields: Any) -> Event:
    return Event(operation=Operation(operation), connection="xero", object=kind, fields=fields)


class TestContract(ConnectorContract):
    name = "xero"
    object = "invoice"
    add: ClassVar = {"InvoiceNumber": "INV-1", **INVOICE}
    update: ClassVar = {"id": "42", "Reference": "better"}
    delete: ClassVar = {"id": "42"}
    done = b'{"Status": "OK", "Invoices": [{"InvoiceID": "42", "HasErrors": false}], "Organisations": []}'
    sure = True

    def made(self, url: str, **settings: Any) -> Connector:
        return made(url, **settings)

    @pytest.mark.parametrize(
        ("problem", "after"), [("minute", 60), ("day", 3_600), ("concurrent", 1), ("of tomorrow", 60)]
    )
    async def test_limits(self, vendor: Vendor, connector: Connector, problem: str, after: float) -> None:
        """Which limit it was is in a header; the wait follows from it where Xero does not say."""
        told = Told(429, b"", (("X-Rate-Limit-Problem", problem),))
        verdict = await self.verdict(vendor, connector, "add", told)

        assert isinstance(verdict, Throttled)
        assert verdict.after == after
        assert problem in verdict.reason

    @pytest.mark.parametrize(
        ("body", "verdict"),
        [
            ({"Type": "OrganisationOfflineException", "ErrorNumber": 18}, Down),
            ({"Title": "Forbidden", "Detail": "AuthenticationUnsuccessful"}, Down),
            ({"Type": "PostDataInvalidException", "ErrorNumber": 14}, Rejected),
            ({"Type": "QueryParseException", "ErrorNumber": 16}, Rejected),
            ({"Type": "NoDataProcessedException", "ErrorNumber": 20}, Rejected),
        ],
    )
    async def test_exceptions(
        self, vendor: Vendor, connector: Connector, body: dict[str, Any], verdict: type[Verdict]
    ) -> None:
        """The names that Xero gives its exceptions decide, whatever the status."""
        assert isinstance(await self.verdict(vendor, connector, "add", Told(400, json.dumps(body).encode())), verdict)

    async def test_the_sentences_of_a_refusal(self, vendor: Vendor, connector: Connector) -> None:
        """What is wrong with the record is in its elements; a number that is taken is a conflict."""
        errors = [{"Message": "Invoice # must be unique."}, {"Message": "Due Date is required"}]
        body = {"ErrorNumber": 10, "Type": "ValidationException", "Message": "A validation exception occurred"}
        told = Told(400, json.dumps({**body, "Elements": [{"ValidationErrors": errors}]}).encode())
        verdict = await self.verdict(vendor, connector, "add", told)

        assert isinstance(verdict, Rejected)
        assert verdict.conflict
        assert "Invoice # must be unique.; Due Date is required" in verdict.reason

    async def test_the_key_of_an_event(self, vendor: Vendor, connector: Connector) -> None:
        """An event carries its id as Idempotency-Key and goes to the organisation; the same event has the same key."""
        one = self.event("add")
        for _ in range(2):
            await connector.deliver([one])

        assert [(sent.headers["idempotency-key"], sent.headers["xero-tenant-id"]) for sent in vendor.received] == [
            (one.id, TENANT)
        ] * 2


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(latency=0) as sandbox:
        yield sandbox


@pytest.fixture
async def xero(sandbox: Sandbox) -> AsyncIterator[XeroConnector]:
    connector = made(sandbox.url)
    yield connector
    await connector.close()


async def one(xero: XeroConnector, operation: str, kind: str = "invoice", **fields: Any) -> Delivered:
    (verdict,) = await xero.deliver([event(operation, kind, **fields)])
    assert isinstance(verdict, Delivered), verdict
    return verdict


async def records(xero: XeroConnector, kind: str, **query: Any) -> list[dict[str, Any]]:
    return (await xero.read(kind, query)).detail


async def test_a_sale_from_the_contact_to_the_payment(xero: XeroConnector) -> None:
    """A contact by its number, an invoice for it, a payment in parts, one taken back, a credit note, an item."""
    contact = await one(xero, "upsert", "contact", ContactNumber="C-1", name="Acme", email="books@acme.com")
    await one(xero, "upsert", "contact", searchfield="ContactNumber", searchterm="C-1", name="Acme Ltd")
    fields = {**INVOICE, "Contact": {"ContactID": contact.id}, "Status": "AUTHORISED"}
    invoice = await one(xero, "add", number="INV-1", **fields)
    payment = {"Invoice": {"InvoiceID": invoice.id}, "Account": {"Code": "090"}, "Date": "2026-02-14"}
    first = await one(xero, "add", "payment", Amount="20000", **payment)
    await one(xero, "add", "payment", Amount="500.00", **payment)
    await one(xero, "delete", "payment", id=first.id)
    await one(xero, "add", "credit_note", number="CN-1", **{**fields, "LineItems": LINES})
    await one(xero, "upsert", "item", Code="CHAIR", Name="Chair", SalesDetails={"UnitPrice": 25.5})
    await one(xero, "upsert", "item", Code="CHAIR", Name="A chair")

    (person,) = await records(xero, "contact", searchfield="email", searchterm="books@acme.com")
    (bill,) = await records(xero, "invoice", id=invoice.id)
    (item,) = await records(xero, "item", id="CHAIR")
    assert (person["Name"], person["ContactID"]) == ("Acme Ltd", contact.id)
    assert (bill["AmountDue"], bill["AmountPaid"], bill["Status"]) == (25_000.0, 500.0, "AUTHORISED")
    assert item["Name"] == "A chair"


async def test_a_batch_is_answered_one_by_one(xero: XeroConnector, sandbox: Sandbox) -> None:
    """Of four in one call two are refused, each in its own words, and the others are there."""
    wrong = [{**LINES[0], "AccountCode": "999"}]
    events = [
        event("add", InvoiceNumber="A", **INVOICE),
        event("add", InvoiceNumber="B", **{**INVOICE, "LineItems": wrong}),
        event("add", InvoiceNumber="a", **INVOICE),
        event("add", InvoiceNumber="C", **INVOICE),
    ]
    first, second, third, fourth = await xero.deliver(events)

    assert isinstance(second, Rejected)
    assert isinstance(third, Rejected)
    assert "Account code '999' is not a valid code" in second.reason
    assert (third.reason, third.conflict, second.conflict) == ("Invoice # must be unique.", True, False)
    numbers = [
        verdict.detail["InvoiceNumber"] for verdict in (first, fourth) if isinstance(verdict, Delivered)
    ]  # each has its own
    assert numbers == ["A", "C"]
    assert sandbox.requests == 1


async def test_a_batch_whose_answer_is_lost_is_asked_again(xero: XeroConnector, sandbox: Sandbox) -> None:
    """Under the same key, at once: what was done is told, and done once."""
    sandbox.dice["xero"].forced.append(Fate("dropped", performed=True))
    verdicts = await xero.deliver([event("add", InvoiceNumber=f"N{n}", **INVOICE) for n in range(3)])

    assert [type(verdict) for verdict in verdicts] == [Delivered] * 3
    assert (sandbox.requests, len(sandbox.xero.books.records["Invoices"])) == (2, 3)


@pytest.mark.parametrize("second", ["throttled", "unavailable"])
async def test_a_batch_that_cannot_be_asked_again(xero: XeroConnector, sandbox: Sandbox, second: Any) -> None:
    """Then nobody knows yet: each event is looked for by its number before it is tried again."""
    sandbox.dice["xero"].forced.extend([Fate("dropped", performed=True), Fate(second)])
    events = [event("add", InvoiceNumber=f"N{n}", **INVOICE) for n in range(2)]
    verdicts = await xero.deliver(events)
    findings = await xero.find([*events, event("add", InvoiceNumber="N9", **INVOICE)])

    assert {type(verdict).__name__ for verdict in verdicts} == {"Unknown"}
    assert [type(finding).__name__ for finding in findings] == ["Found", "Found", "Absent"]


@pytest.mark.parametrize(
    ("kind", "fields"), [("contact", {"Name": "A", "ContactNumber": "C-1"}), ("item", {"Code": "X"})]
)
async def test_what_was_added_is_found(xero: XeroConnector, kind: str, fields: dict[str, Any]) -> None:
    """By the property that is unique, and a part of it is not it."""
    added = event("add", kind, **fields)
    await xero.deliver([added])
    shorter = {name: value[:-1] or "Y" for name, value in fields.items()}
    there, absent = await xero.find([added, event("add", kind, **shorter)])

    assert isinstance(there, Found)
    assert type(absent).__name__ == "Absent"


async def test_a_delete_is_what_the_status_allows(xero: XeroConnector, sandbox: Sandbox) -> None:
    """An approved one becomes void, a draft is deleted, a void one is gone already, a paid one is refused."""
    approved = [await one(xero, "add", Status="AUTHORISED", **INVOICE) for _ in range(3)]
    draft = await one(xero, "add", **INVOICE)
    await one(xero, "delete", id=approved[0].id)
    paid = {"Invoice": {"InvoiceID": approved[1].id}, "Account": {"Code": "090"}, "Amount": 25_500}
    await one(xero, "add", "payment", **paid)

    asked = [approved[0], approved[1], approved[2], draft]
    verdicts = await xero.deliver([event("delete", id=each.id) for each in asked])
    states = [(await records(xero, "invoice", id=each.id))[0]["Status"] for each in asked]

    assert [type(verdict) for verdict in verdicts] == [Delivered, Rejected, Delivered, Delivered]
    assert states == ["VOIDED", "PAID", "VOIDED", "DELETED"]


async def test_what_no_update_makes(xero: XeroConnector, sandbox: Sandbox) -> None:
    """An update without an id would make a new record: it is refused before it is sent."""
    verdicts = await xero.deliver([event("update", "contact", Name="New")])

    assert isinstance(verdicts[0], Rejected)
    assert "needs the field ContactID" in verdicts[0].reason
    assert sandbox.requests == 0


async def test_an_upsert_by_what_xero_does_not_know(xero: XeroConnector) -> None:
    """By an email it would make a second contact, or hit another one: refused, the others of the batch go."""
    good, bad = await xero.deliver(
        [
            event("upsert", "contact", ContactNumber="C-1", Name="A"),
            event("upsert", "contact", searchfield="EmailAddress", searchterm="a@b.co", Name="B"),
        ]
    )

    assert isinstance(good, Delivered)
    assert isinstance(bad, Rejected)
    assert "by ContactNumber, and by nothing else" in bad.reason


async def test_lists_go_page_by_page(xero: XeroConnector) -> None:
    """Each page has its number as the bookmark; the lines of a document are there, as only pages have them."""
    await xero.deliver([event("add", InvoiceNumber=f"N{n}", **INVOICE) for n in range(5)])
    first = await xero.read("invoice", {"limit": 2})
    last = await xero.read("invoice", {"limit": 2}, "3")

    assert (len(first.detail), first.bookmark, len(last.detail), last.bookmark) == (2, "2", 1, None)
    assert first.detail[0]["LineItems"][0]["Description"] == "1000 chairs"
    assert (await xero.read("invoice", {"where": 'Contact.Name=="nobody"'})).detail == []


async def test_an_error_is_no_empty_list(xero: XeroConnector) -> None:
    """A filter that Xero does not understand, or that we will not pass on, raises."""
    for query in ({"where": "?"}, {"searchfield": "Name) OR (1", "searchterm": "x"}, {"searchfield": "Name"}):
        with pytest.raises(CallFailed):
            await xero.read("contact", query)
    assert (await xero.read("contact", {"id": "nobody"})).detail == []


async def test_the_only_organisation_is_found() -> None:
    """Without a tenant_id the app's only organisation is asked for once; of several one has to be named."""
    async with Sandbox(latency=0, xero=Xero(Faults(), tenants={"t-1": "Acme"})) as sandbox:
        xero = made(sandbox.url, tenant_id="")
        probes = [await xero.probe(), await xero.probe()]
        sandbox.xero.tenants["t-2"] = "Brine"
        other = made(sandbox.url, tenant_id="")
        refused = await other.probe()
        await xero.close()
        await other.close()

        assert [type(probe) for probe in probes] == [Delivered, Delivered]
        assert isinstance(refused, Down)
        assert "tenant_id says which: t-1 (Acme), t-2 (Brine)" in refused.reason
        assert sandbox.requests == 4


async def test_the_limits_of_the_sandbox_are_obeyed() -> None:
    """429 with what is left; what the last answer's headers said is handed on."""
    async with Sandbox(latency=0, xero=Xero(Faults(), per_minute=2)) as sandbox:
        xero = made(sandbox.url)
        for _ in range(2):
            await xero.probe()
        left = xero.quota()
        throttled = await xero.probe()
        await xero.close()

        assert left is not None
        assert left.remaining == 0
        assert isinstance(throttled, Throttled)
        assert 55 < throttled.after <= 60
        assert "minute" in throttled.reason


async def test_every_request_is_in_the_api_description(vendor_of_all: Vendor) -> None:
    """Path, method, parameters and body of all that is ever written, against Xero's own OpenAPI document."""
    xero = made(vendor_of_all.url, SECRET, {"rate": 1_000.0})  # the vendor's one a second is not what is looked at
    told = manifest("xero")
    for kind, spec in told.objects.items():
        for operation in spec.operations:
            fields = {**spec.example, **({} if operation in {"add", "upsert"} else {"id": "42"})}
            fields = {"id": "42"} if operation == "delete" else fields
            for size in (1, 2):
                await xero.deliver([event(operation, kind, **fields) for _ in range(size)])
        for query in ({"id": "42"}, {}, {"limit": 3, "where": 'Name=="x"'} if kind != "item" else {"where": "x"}):
            await xero.read(kind, query)
    await xero.close()

    for request in vendor_of_all.received:
        check_request(request.method, request.path, request.headers, request.body)
    assert len(vendor_of_all.received) > 50


@pytest.fixture
async def vendor_of_all() -> AsyncIterator[Vendor]:
    ids = ("ContactID", "InvoiceID", "CreditNoteID", "PaymentID", "ItemID")
    kinds = ("Contacts", "Invoices", "CreditNotes", "Payments", "Items")
    both = [dict.fromkeys(ids, "42")] * 2
    async with Vendor(Told(200, json.dumps({"Status": "OK", **dict.fromkeys(kinds, both)}).encode())) as vendor:
        yield vendor


def check_request(method: str, url: str, headers: dict[str, str], body: bytes) -> None:
    parts = urlsplit(url)
    path = parts.path.removeprefix("/api.xro/2.0")
    kind = path.split("/")[1]
    known = SCHEMAS["paths"]
    name = path if path in known else next(one for one in known if one.startswith(f"/{kind}/{{"))
    said = known[name][method.lower()]
    assert set(parse_qs(parts.query)) <= set(said), url
    assert ("idempotency-key" not in headers) or "Idempotency-Key" in said, url
    if body:
        schema = "PaymentDelete" if kind == "Payments" and method == "POST" else kind
        value = json.loads(body)
        VALIDATORS[schema].validate(value)
        assert schema == "PaymentDelete" or set(value) == {kind}
