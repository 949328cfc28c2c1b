"""Xero's own SDK works against the sandbox, and what it leaves behind is what our connector leaves behind."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest
from urllib3.util.retry import Retry
from xero_python.accounting import (
    Account,
    AccountingApi,
    Contact,
    Contacts,
    CreditNote,
    CreditNotes,
    Invoice,
    Invoices,
    Item,
    Items,
    LineItem,
    Payment,
    PaymentDelete,
    Payments,
)
from xero_python.api_client import ApiClient
from xero_python.api_client.configuration import Configuration
from xero_python.api_client.oauth2 import OAuth2Token
from xero_python.exceptions import AccountingBadRequestException, HTTPStatusException

from connectors.contract import Delivered
from connectors.sandbox.faults import Faults
from connectors.sandbox.server import Sandbox
from connectors.sandbox.xero.wires import TENANT, Xero
from tests.connectors.saas.test_xero import event, made
from tests.connectors.sandbox_thread import running

LINE = {"description": "1000 chairs", "quantity": 1000, "unit_amount": 25.5, "account_code": "200"}


def sandbox_of(**options: Any) -> Sandbox:
    return Sandbox(latency=0, xero=Xero(Faults(), **options))


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with running(sandbox_of()) as sandbox:
        yield sandbox


def sdk(sandbox: Sandbox, token: str = "good") -> Any:
    tokens = {"access_token": token, "token_type": "Bearer", "expires_in": 1_800, "expires_at": 4e9, "scope": ["x"]}
    oauth = OAuth2Token(client_id="app", client_secret="s")
    client = ApiClient(
        Configuration(oauth2_token=oauth), oauth2_token_saver=tokens.update, oauth2_token_getter=lambda: tokens
    )
    return AccountingApi(client, base_url=f"{sandbox.url}/api.xro/2.0")


def test_the_same_scenario_leaves_the_same_state(sandbox: Sandbox) -> None:
    """Contacts, an item, invoices, a payment that is taken back, a credit note, a void: by the SDK, and by us."""
    by_sdk(sdk(sandbox))
    with running(sandbox_of()) as ours:
        asyncio.run(by_us(ours))

        assert stripped(ours.xero.state()) == stripped(sandbox.xero.state())
    assert len(sandbox.xero.state()["Invoices"]) == 2


def by_sdk(api: Any) -> None:
    api.create_contacts(TENANT, Contacts(contacts=[Contact(name="Acme", contact_number="C-1")]))
    api.update_or_create_contacts(TENANT, Contacts(contacts=[Contact(name="Acme Ltd", contact_number="C-1")]))
    api.update_or_create_items(TENANT, Items(items=[Item(code="CHAIR", name="Chair")]))
    first = invoice("INV-1", status="AUTHORISED")
    made = api.create_invoices(TENANT, Invoices(invoices=[first, invoice("INV-2")]), summarize_errors=False).invoices
    paid = Payment(invoice=Invoice(invoice_id=made[0].invoice_id), account=Account(code="090"), amount=500.0)
    payment = api.create_payments(TENANT, Payments(payments=[paid]), summarize_errors=False).payments[0]
    api.delete_payment(TENANT, payment.payment_id, PaymentDelete(status="DELETED"))
    api.update_or_create_invoices(
        TENANT, Invoices(invoices=[Invoice(invoice_id=made[1].invoice_id, reference="R")]), summarize_errors=False
    )
    api.update_invoice(TENANT, made[0].invoice_id, Invoices(invoices=[Invoice(status="VOIDED")]))
    note = CreditNote(
        type="ACCRECCREDIT", credit_note_number="CN-1", contact=Contact(name="Acme Ltd"), line_items=[LineItem(**LINE)]
    )
    api.create_credit_notes(TENANT, CreditNotes(credit_notes=[note]))


def invoice(number: str, **more: Any) -> Any:
    day = {"date": date(2026, 1, 31), "due_date": date(2026, 2, 28)}
    who = Contact(contact_number="C-1")
    return Invoice(type="ACCREC", invoice_number=number, contact=who, line_items=[LineItem(**LINE)], **day, **more)


async def by_us(sandbox: Sandbox) -> None:
    xero = made(sandbox.url)
    line = {"Description": "1000 chairs", "Quantity": 1000, "UnitAmount": 25.5, "AccountCode": "200"}
    base: dict[str, Any] = {
        "Contact": {"ContactNumber": "C-1"},
        "LineItems": [line],
        "Date": "2026-01-31",
        "DueDate": "2026-02-28",
    }

    async def do(*events: Any) -> list[Any]:
        verdicts = await xero.deliver(events)
        assert [type(verdict) for verdict in verdicts] == [Delivered] * len(events), verdicts
        return [verdict.id for verdict in verdicts if isinstance(verdict, Delivered)]

    await do(event("add", "contact", Name="Acme", ContactNumber="C-1"))
    await do(event("upsert", "contact", Name="Acme Ltd", ContactNumber="C-1"))
    await do(event("upsert", "item", Code="CHAIR", Name="Chair"))
    first, second = await do(
        event("add", InvoiceNumber="INV-1", Status="AUTHORISED", **base), event("add", InvoiceNumber="INV-2", **base)
    )
    paid = {"Invoice": {"InvoiceID": first}, "Account": {"Code": "090"}, "Amount": 500.0}
    (payment,) = await do(event("add", "payment", **paid))
    await do(event("delete", "payment", id=payment))
    await do(event("update", id=second, Reference="R"))
    await do(event("delete", id=first))
    note = {"CreditNoteNumber": "CN-1", "Contact": {"Name": "Acme Ltd"}, "LineItems": [line]}
    await do(event("add", "credit_note", **note))
    await xero.close()


def stripped(state: dict[str, Any]) -> dict[str, Any]:
    """Without times; and without what only the SDK sends of its own accord."""
    own = {"UpdatedDateUTC", "IsDiscounted", "SentToContact", "IsReconciled"}

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: plain(v) for k, v in value.items() if k not in own and not k.startswith("Has")}
        return [plain(one) for one in value] if isinstance(value, list) else value

    return {kind: plain(records) for kind, records in state.items()}


def test_errors_are_the_sdks_exceptions(sandbox: Sandbox) -> None:
    """Summed up: an exception with the sentences. One by one: in each element. What was good is done either way."""
    api = sdk(sandbox)
    wrong = Invoices(invoices=[invoice("A", status="AUTHORISED"), invoice("A")])
    api.create_contacts(TENANT, Contacts(contacts=[Contact(name="Acme", contact_number="C-1")]))
    with pytest.raises(AccountingBadRequestException) as refused:
        api.create_invoices(TENANT, wrong, summarize_errors=True)
    one_by_one = api.create_invoices(
        TENANT, Invoices(invoices=[invoice("A"), invoice("B")]), summarize_errors=False
    ).invoices

    assert refused.value.reason == "Invoice # must be unique."
    assert [one.has_errors for one in one_by_one] == [True, False]
    assert one_by_one[0].validation_errors[0].message == "Invoice # must be unique."
    assert len(sandbox.xero.books.records["Invoices"]) == 2


def test_reads(sandbox: Sandbox) -> None:
    """By id, by number, by filter, in pages; a time filter leaves out what has not changed."""
    api = sdk(sandbox)
    api.create_contacts(TENANT, Contacts(contacts=[Contact(name="Acme", contact_number="C-1")]))
    api.create_invoices(TENANT, Invoices(invoices=[invoice(f"N{n}") for n in range(3)]), summarize_errors=False)
    page = api.get_invoices(TENANT, page=2, page_size=2)
    filtered = api.get_contacts(TENANT, where='ContactNumber=="C-1"').contacts

    assert [one.invoice_number for one in page.invoices] == ["N2"]
    assert page.pagination.item_count == 3
    assert float(page.invoices[0].line_items[0].unit_amount) == 25.5
    assert page.invoices[0].date.isoformat() == "2026-01-31"
    assert [one.name for one in filtered] == ["Acme"]
    assert api.get_invoices(TENANT, invoice_numbers=["N1"]).invoices[0].line_items in ([], None)


def test_the_same_key_does_it_once(sandbox: Sandbox) -> None:
    """The second call with an Idempotency-Key gets the answer of the first."""
    api = sdk(sandbox)
    contact = Contacts(contacts=[Contact(name="Acme")])
    first = api.create_contacts(TENANT, contact, idempotency_key="k1").contacts[0]
    again = api.create_contacts(TENANT, contact, idempotency_key="k1").contacts[0]

    assert first.contact_id == again.contact_id
    assert len(sandbox.xero.books.records["Contacts"]) == 1


@pytest.mark.parametrize(
    ("options", "tenant", "status"), [({}, "another", 403), ({"clients": {"app": "s"}}, TENANT, 401)]
)
def test_refusals(options: dict[str, Any], tenant: str, status: int) -> None:
    """Another organisation, and a token that is none."""
    with running(sandbox_of(**options)) as sandbox:
        api = sdk(sandbox)
        with pytest.raises(HTTPStatusException) as refused:
            api.get_organisations(tenant)

    assert refused.value.status == status


class Waits(Exception):
    """So many seconds the SDK would wait."""


@pytest.mark.parametrize(("limit", "least"), [("per_minute", 55), ("daily", 3_600)])
def test_the_sdk_waits_as_it_is_told(limit: str, least: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a call too many it reads when the minute or the day is over."""

    def wait(self: Retry, response: Any) -> bool:
        raise Waits(self.get_retry_after(response))

    monkeypatch.setattr(Retry, "sleep_for_retry", wait)
    with running(sandbox_of(**{limit: 1})) as sandbox:
        api = sdk(sandbox)
        api.get_organisations(TENANT)
        with pytest.raises(Waits) as waits:
            api.get_organisations(TENANT)

    assert least <= waits.value.args[0] <= max(least, 60)
