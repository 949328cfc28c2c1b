"""One organisation's books: what Xero accepts, and in which words it refuses."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final
from uuid import UUID, uuid5

Record = dict[str, Any]
NAMESPACE: Final = UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8")
NOTHING: Final = "00000000-0000-0000-0000-000000000000"
KINDS: Final[Mapping[str, str]] = {
    "Contacts": "ContactID",
    "Invoices": "InvoiceID",
    "CreditNotes": "CreditNoteID",
    "Payments": "PaymentID",
    "Items": "ItemID",
}
NUMBERS: Final = {"Invoices": "InvoiceNumber", "CreditNotes": "CreditNoteNumber"}
ACCOUNTS: Final = {"090": "BANK", "200": "REVENUE", "400": "EXPENSE"}
TYPES: Final = {"Invoices": ("ACCREC", "ACCPAY"), "CreditNotes": ("ACCRECCREDIT", "ACCPAYCREDIT")}
OPEN: Final = ("DRAFT", "SUBMITTED", "AUTHORISED")
_DOTNET: Final = re.compile(r"/Date\((-?\d+)")


class Refused(Exception):
    """What is said of one element; several sentences in one line each."""


class Books:
    """``records``: by kind and id. Times are those of the call."""

    def __init__(self) -> None:
        self.records: dict[str, dict[str, Record]] = {kind: {} for kind in KINDS}
        self._made = 0
        self._put: Mapping[str, Callable[[Record, bool], Record]] = {
            "Contacts": self._contact,
            "Items": self._item,
            "Invoices": lambda given, create: self._document("Invoices", given, create),
            "CreditNotes": lambda given, create: self._document("CreditNotes", given, create),
            "Payments": lambda given, create: self._payment(given),  # noqa: ARG005
        }

    def write(self, kind: str, given: Record, at: float, *, create: bool) -> Record:
        """One element, whole or not at all. ``create``: PUT; otherwise what is there is changed. Raises ``Refused``."""
        record = self._put[kind](given, create)
        record["UpdatedDateUTC"] = f"/Date({int(at * 1_000)}+0000)/"
        self.records[kind][record[KINDS[kind]]] = record
        return record

    def find(self, kind: str, reference: str) -> Record | None:
        """By id, number or code."""
        by = {"Items": "Code", "Contacts": "ContactNumber", **NUMBERS}.get(kind, "")
        return self.records[kind].get(reference) or self._one(kind, by, reference)

    def delete_payment(self, payment: Record) -> Record:
        """Raises ``Refused``."""
        if payment["Status"] == "DELETED":
            raise Refused("This document cannot be edited as it has a status of DELETED.")
        invoice = self.records["Invoices"][payment["Invoice"]["InvoiceID"]]
        invoice["AmountPaid"] -= payment["Amount"]
        invoice["AmountDue"] += payment["Amount"]
        invoice["Status"] = "AUTHORISED"
        payment["Status"] = "DELETED"
        return payment

    def _one(self, kind: str, name: str, value: Any) -> Record | None:
        if value in (None, ""):
            return None
        same = (one for one in self.records[kind].values() if str(one.get(name, "")).lower() == str(value).lower())
        return next((one for one in same if one.get("Status") not in {"DELETED", "VOIDED"}), None)

    def _new(self, kind: str) -> Record:
        self._made += 1
        return {KINDS[kind]: str(uuid5(NAMESPACE, f"{kind} {self._made}"))}

    def _known(self, kind: str, given: Record, words: str) -> Record | None:
        reference = given.get(KINDS[kind])
        if reference is None:
            return None
        found = self.records[kind].get(str(reference))
        if found is None:
            raise Refused(words)
        return dict(found)

    # -- contacts and items ------------------------------------------------------------------------------------------

    def _contact(self, given: Record, create: bool) -> Record:
        old = self._known("Contacts", given, "The contact with the specified contact details could not be found")
        if old is None and not create:
            old = self._one("Contacts", "ContactNumber", given.get("ContactNumber"))
            old = old or self._one("Contacts", "Name", given.get("Name"))
        record = {**(old or {"ContactStatus": "ACTIVE", **self._new("Contacts")}), **given}
        name = str(record.get("Name") or "")
        if not name:
            raise Refused("The contact name must be specified.")
        other = self._one("Contacts", "Name", name)
        if other is not None and other["ContactID"] != record["ContactID"]:
            raise Refused(
                f"The contact name {name} is already assigned to another contact. The contact name must be unique "
                "across all active contacts."
            )
        email = record.get("EmailAddress")
        if email and not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", str(email)):
            raise Refused("Email address must be valid.")
        return record

    def _item(self, given: Record, create: bool) -> Record:
        old = self._known("Items", given, "Item could not be found")
        there = self._one("Items", "Code", given.get("Code"))
        if old is None and not create:
            old = there
        record = {**(old or self._new("Items")), **given}
        if not record.get("Code"):
            raise Refused("Price List Item must have a Code")
        if len(str(record["Code"])) > 30:
            raise Refused("Price List Item Code must be 30 characters or less")
        if there is not None and there["ItemID"] != record["ItemID"]:
            raise Refused(f"Price List Item with Code '{record['Code']}' already exists")
        return record

    # -- invoices, bills and credit notes ----------------------------------------------------------------------------

    def _document(self, kind: str, given: Record, create: bool) -> Record:
        number = NUMBERS[kind]
        old = self._known(kind, given, f"{kind.removesuffix('s')} not found")
        sales = str(given.get("Type") or (old or {}).get("Type", "")).startswith("ACCREC")
        there = self._one(kind, number, given.get(number)) if sales else None
        if old is None and not create and there is not None:
            old = dict(there)
        if old is None and create and there is not None:
            raise Refused(f"{kind.removesuffix('s')} # must be unique.")
        if old is not None:
            _check_change(old, given)
        record = {**(old or {"Status": "DRAFT", "AmountPaid": Decimal(0), **self._new(kind)}), **given}
        if record.get("Type") not in TYPES[kind]:
            raise Refused(f"{kind.removesuffix('s')} type is not valid")
        record["Contact"] = self._party(record.get("Contact"))
        if not record.get(number) and sales:
            record[number] = f"{'INV' if kind == 'Invoices' else 'CN'}-{self._made:04}"
        for name in ("Date", "DueDate"):
            if record.get(name):
                record[name] = _date(name, record[name])
        return _reckoned(kind, record)

    def _party(self, given: Any) -> Record:
        """A contact by id or number; one with a new name is made."""
        given = given if isinstance(given, dict) else {}
        found = self._known("Contacts", given, "The contact with the specified contact details could not be found")
        found = found or self._one("Contacts", "ContactNumber", given.get("ContactNumber"))
        found = found or self._one("Contacts", "Name", given.get("Name"))
        if found is None:
            if not given.get("Name"):
                raise Refused("A Contact must be specified for this type of transaction")
            found = self._contact(given, create=True)
            found["UpdatedDateUTC"] = "/Date(0+0000)/"
            self.records["Contacts"][found["ContactID"]] = found
        return {"ContactID": found["ContactID"], "Name": found["Name"]}

    def _payment(self, given: Record) -> Record:
        asked = given.get("Invoice") if isinstance(given.get("Invoice"), dict) else {}
        assert isinstance(asked, dict)
        invoice = self.records["Invoices"].get(str(asked.get("InvoiceID")))
        invoice = invoice or self._one("Invoices", "InvoiceNumber", asked.get("InvoiceNumber"))
        account = given.get("Account") if isinstance(given.get("Account"), dict) else {}
        assert isinstance(account, dict)
        if invoice is None:
            raise Refused("Invoice could not be found")
        if ACCOUNTS.get(str(account.get("Code"))) != "BANK":
            raise Refused("Payments can only be made to a bank account, or one with payments enabled")
        amount = _number("Amount", given.get("Amount"))
        if invoice["Status"] != "AUTHORISED":
            raise Refused("Payments can only be made against Authorised documents")
        if amount <= 0 or amount > invoice["AmountDue"]:
            raise Refused("Payment amount exceeds the amount outstanding on this document")
        invoice["AmountPaid"] += amount
        invoice["AmountDue"] -= amount
        if not invoice["AmountDue"]:
            invoice["Status"] = "PAID"
        shown = {"InvoiceID": invoice["InvoiceID"], "InvoiceNumber": invoice.get("InvoiceNumber")}
        when = {"Date": _date("Date", given["Date"])} if given.get("Date") else {}
        made = {"Status": "AUTHORISED", "PaymentType": "ACCRECPAYMENT", **self._new("Payments")}
        return {**given, **when, **made, "Amount": amount, "Invoice": shown}


def _check_change(old: Record, given: Record) -> None:
    """Raises ``Refused`` for what the old status does not allow."""
    status = given.get("Status", old["Status"])
    if old["Status"] in {"VOIDED", "DELETED", "PAID"}:
        raise Refused(f"This document cannot be edited as it has a status of {old['Status']}.")
    if status in {"VOIDED", "DELETED"} and old.get("AmountPaid"):
        raise Refused("This document cannot be edited as it has a payment or credit note allocated to it.")
    voidable = old["Status"] == "AUTHORISED"
    if (status == "VOIDED" and not voidable) or (status == "DELETED" and voidable):
        raise Refused("Invoice not of valid status for modification")


def _reckoned(kind: str, record: Record) -> Record:
    lines = record.get("LineItems") or []
    if record["Status"] not in {*OPEN, "VOIDED", "DELETED"}:
        raise Refused(f"The Status {record['Status']!r} is not valid")
    if record["Status"] == "AUTHORISED":
        if not lines:
            raise Refused("One or more line items must be specified")
        if kind == "Invoices" and not record.get("DueDate"):
            raise Refused("Due Date is required when authorising an invoice")
    total = Decimal(0)
    for line in lines:
        if not line.get("Description") and not line.get("ItemCode"):
            raise Refused("Description is required for a line item")
        if line.get("AccountCode") is not None and str(line["AccountCode"]) not in ACCOUNTS:
            raise Refused(f"Account code '{line['AccountCode']}' is not a valid code for this document.")
        quantity = _number("Quantity", line.get("Quantity", 1))
        total += (quantity * _number("UnitAmount", line.get("UnitAmount", 0))).quantize(Decimal("0.01"))
    record |= {"SubTotal": total, "TotalTax": Decimal(0), "Total": total}
    if kind == "Invoices":
        record["AmountDue"] = total - record["AmountPaid"]
    else:
        record["RemainingCredit"] = total
    return record


def _number(name: str, value: Any) -> Decimal:
    try:
        return Decimal(str(value))
    except InvalidOperation:
        raise Refused(f"{name} is not a number") from None


def _date(name: str, value: Any) -> str:
    """As Xero writes it; raises ``Refused``."""
    if dotnet := _DOTNET.match(str(value)):
        return f"/Date({dotnet[1]}+0000)/"
    try:
        day = date.fromisoformat(str(value)[:10])
    except ValueError:
        raise Refused(f"{name} is not a valid date") from None
    return f"/Date({int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1_000)}+0000)/"
