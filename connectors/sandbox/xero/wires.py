"""Xero's accounting API: PUT makes, POST makes or changes, elements are answered one by one, calls are counted."""

from __future__ import annotations

import math
import re
from collections import deque
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Any, Final

from connectors.sandbox.call import Answer, Call, answer
from connectors.sandbox.faults import Fate, Faults
from connectors.sandbox.identity import Identity
from connectors.sandbox.ledger import Entry
from connectors.sandbox.quota import Quota
from connectors.sandbox.xero.books import KINDS, NOTHING, Books, Record, Refused

API: Final = "/api.xro/2.0/"
AUTHORIZE: Final = "/identity/connect/authorize"
PATHS: Final = frozenset({AUTHORIZE, "/connect/token"})
TENANT: Final = "11111111-2222-3333-4444-555555555555"
MAX_BYTES: Final = 3_670_016
MAX_ELEMENTS: Final = 500
_EQUALS: Final = re.compile(r'([A-Za-z.]+)\s*==\s*(?:[Gg]uid\()?"([^"]*)"\)?')


class Xero:
    """One app, and the organisations that it is connected to. ``tenants``: id to name.

    ``per_minute``, ``daily``, ``at_once``: 0 for no limit; ``latency``: how long a call is one of those at once.
    """

    name = "xero"

    def __init__(
        self,
        faults: Faults,
        *,
        clients: dict[str, str] | None = None,
        tenants: dict[str, str] | None = None,
        per_minute: int = 0,
        daily: int = 0,
        at_once: int = 0,
        latency: float = 0.0,
    ) -> None:
        self.books = Books()
        self.identity = Identity(dict(clients or {}), AUTHORIZE)
        self.tenants = {TENANT: "Acme"} if tenants is None else tenants
        self.minute = Quota(per_minute, 60.0)
        self._daily, self._at_once, self._latency = daily, at_once, latency
        self._today = 0
        self._under_way: deque[float] = deque()
        self._answers: dict[str, Answer] = {}
        self._faults = faults

    @staticmethod
    def claims(path: str) -> bool:
        return path.startswith(API) or path in PATHS or path == "/connections"

    def describe(self, call: Call) -> tuple[list[Entry], bool]:
        """An entry for each element. Never raises."""
        kind = call.path.removeprefix(API).partition("/")[0]
        operation = {"PUT": "create", "POST": "upsert", "DELETE": "archive"}.get(call.method, "read")
        operation = operation if call.path.startswith(API) else call.path
        given = _elements(call, kind) if call.method in {"PUT", "POST"} else []
        entries = [Entry(call.number, self.name, operation, kind, properties=one, received=call.now) for one in given]
        return entries or [Entry(call.number, self.name, operation, kind, received=call.now)], call.method == "GET"

    def admit(self, call: Call) -> Answer | None:
        if call.path in PATHS:
            return None
        known = self.identity.knows(call.token, call.now)
        if known != "good":
            problem = "TokenExpired: token expired" if known == "expired" else "AuthenticationUnsuccessful"
            return _problem(401, "Unauthorized", problem)
        if call.path == "/connections":
            return None
        if call.headers.get("xero-tenant-id") not in self.tenants:
            return _problem(403, "Forbidden", "AuthenticationUnsuccessful")
        return self._count(call)

    def perform(self, call: Call, entries: list[Entry]) -> Answer:
        if call.path in PATHS:
            return self.identity.serve(call)
        if call.path == "/connections":
            shown = [
                {"id": key, "tenantId": key, "tenantType": "ORGANISATION", "tenantName": name}
                for key, name in self.tenants.items()
            ]
            return answer(200, shown)
        key = f"{call.method} {call.headers.get('Idempotency-Key', '')}"
        known = self._answers.get(key)
        if known is None:
            known = self._perform(call, entries)
            if call.headers.get("Idempotency-Key") and known.status == 200:
                self._answers[key] = known
        return Answer(known.status, known.body, {**known.headers, **self._limits()}, known.content_type)

    def throttled(self, call: Call, fate: Fate) -> Answer:  # noqa: ARG002
        return self._too_many("minute", fate.retry_after)

    def unavailable(self, call: Call) -> Answer:  # noqa: ARG002
        return Answer(503, b"<html>The Xero API is temporarily unavailable</html>", {}, "text/html")

    def state(self) -> dict[str, Any]:
        return {kind: [_shown(one) for one in records.values()] for kind, records in self.books.records.items()}

    def set_faults(self, faults: Faults) -> None:
        self._faults = faults

    def _count(self, call: Call) -> Answer | None:
        """The limits of an app with one organisation: at once, a minute, a day."""
        while self._under_way and self._under_way[0] <= call.now - self._latency:
            self._under_way.popleft()
        if self._at_once and len(self._under_way) >= self._at_once:
            return self._too_many("concurrent", None)
        wait = self.minute.take(call.now)
        if wait > 0:
            return self._too_many("minute", wait)
        self._today += 1
        if self._daily and self._today > self._daily:
            return self._too_many("day", 3_600.0)
        self._under_way.append(call.now)
        return None

    def _too_many(self, problem: str, wait: float | None) -> Answer:
        headers = {"X-Rate-Limit-Problem": problem, **self._limits()}
        if wait is not None:
            headers["Retry-After"] = str(math.ceil(wait))
        return Answer(429, b"", headers)

    def _limits(self) -> dict[str, str]:
        left = {"X-AppMinLimit-Remaining": "9999"}
        if self.minute.rate:
            left["X-MinLimit-Remaining"] = str(self.minute.remaining)
        if self._daily:
            left["X-DayLimit-Remaining"] = str(max(0, self._daily - self._today))
        return left

    def _perform(self, call: Call, entries: list[Entry]) -> Answer:
        kind, _, reference = call.path.removeprefix(API).partition("/")
        if kind not in KINDS:
            known = kind == "Organisation"
            return _envelope({"Organisations": [{"Name": "Acme", "BaseCurrency": "EUR"}]}) if known else _not_found()
        if reference and (call.method != "POST" or kind == "Payments"):
            return self._single(call, kind, reference, entries[0])
        if call.method == "GET":
            return self._list(call, kind)
        given = _elements(call, kind)
        if len(call.body) > MAX_BYTES or len(given) > MAX_ELEMENTS or not given:
            if given:
                return Answer(413)
            words = f"No data has been processed for this endpoint. This endpoint is expecting {kind} data"
            return _exception(400, 20, "NoDataProcessedException", words)
        if reference:
            given = [{**given[0], KINDS[kind]: reference}]
        return self._write(call, kind, given, entries)

    def _single(self, call: Call, kind: str, reference: str, entry: Entry) -> Answer:
        found = self.books.find(kind, reference)
        if found is None:
            return _not_found()
        if call.method == "GET":
            return _envelope({kind: [_shown(found)]})
        entry.performed, entry.record_id = True, found[KINDS[kind]]
        if call.method == "DELETE" and kind == "Items":
            del self.books.records[kind][found["ItemID"]]
            return Answer(204)
        try:
            return _envelope({kind: [_shown(self.books.delete_payment(found))]})
        except Refused as refused:
            return _summary([_refused(kind, found, refused)])

    def _write(self, call: Call, kind: str, given: list[Record], entries: list[Entry]) -> Answer:
        done: list[Record] = []
        for one, entry in zip(given, entries, strict=True):
            try:
                record = self.books.write(kind, self._marked(one), call.at, create=call.method == "PUT")
            except Refused as refused:
                entry.outcome = "400"
                done.append(_refused(kind, one, refused))
                continue
            entry.performed, entry.record_id, entry.outcome = True, record[KINDS[kind]], "200"
            done.append({**_shown(record), "StatusAttributeString": "OK", "HasErrors": False})
        wrong = [one for one in done if one["StatusAttributeString"] == "ERROR"]
        if wrong and call.first("summarizeErrors", "true").lower() != "false":
            return _summary(wrong)  # the others were done all the same
        return _envelope({kind: done})

    def _marked(self, given: Record) -> Record:
        """What is always refused, so that a run can have refusals."""
        if self._faults.refused_marker in str(given):
            raise Refused(f"{self._faults.refused_marker} is not valid")
        return given

    def _list(self, call: Call, kind: str) -> Answer:
        try:
            _wanted(
                call, kind, {"UpdatedDateUTC": "/Date(0+0000)/"}
            )  # a filter that is none is one without records, too
            found = [one for one in self.books.records[kind].values() if _wanted(call, kind, one)]
        except ValueError as error:
            return _exception(400, 16, "QueryParseException", str(error))
        if order := call.first("order"):
            found.sort(key=lambda one: str(one.get(order.split()[0], "")))
        page, size = int(call.first("page", "0")), int(call.first("pageSize", "100"))
        if kind == "Items" or not page:
            hidden = kind in {"Invoices", "CreditNotes"}  # without a page there are no lines
            return _envelope({kind: [{**_shown(one), **({"LineItems": []} if hidden else {})} for one in found]})
        cut = found[(page - 1) * size : page * size]
        pages = {"page": page, "pageSize": size, "pageCount": -(-len(found) // size), "itemCount": len(found)}
        return _envelope({"pagination": pages, kind: [_shown(one) for one in cut]})


def _elements(call: Call, kind: str) -> list[Record]:
    try:
        body = call.json()
    except ValueError:
        return []
    found = body.get(kind)
    if found is None and body:  # a single element without its list
        found = [body]
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _wanted(call: Call, kind: str, record: Record) -> bool:
    """Does a record pass the filters of a list? Raises ``ValueError`` for a filter that is none."""
    asked_for = [_equals(part, record) for part in re.split(r"\s+AND\s+", call.first("where")) if part]
    since = call.headers.get("If-Modified-Since")
    if since:
        asked = datetime.fromisoformat(since) if "T" in since else parsedate_to_datetime(since)
        asked = asked if asked.tzinfo else asked.replace(tzinfo=UTC)
        if int(record["UpdatedDateUTC"][6:-7]) < asked.timestamp() * 1_000 // 1:
            return False
    for name, field in (("IDs", KINDS[kind]), ("InvoiceNumbers", "InvoiceNumber"), ("Statuses", "Status")):
        if (given := call.first(name)) and str(record.get(field)) not in given.split(","):
            return False
    term = call.first("searchTerm").lower()
    searched = ("Name", "FirstName", "LastName", "ContactNumber", "EmailAddress", "InvoiceNumber", "Reference")
    if term and not any(term in str(record.get(name, "")).lower() for name in searched):
        return False
    return all(asked_for)


def _equals(part: str, record: Record) -> bool:
    match = _EQUALS.fullmatch(part.strip())
    if match is None:
        raise ValueError(f"Expression {part!r} is not valid")
    value: Any = record
    for name in match[1].split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return str(value if value is not None else "") == match[2]


def _shown(record: Record) -> Record:
    return {name: float(value) if isinstance(value, Decimal) else value for name, value in record.items()}


def _refused(kind: str, given: Record, refused: Refused) -> Record:
    errors = [{"Message": line} for line in str(refused).splitlines()]
    return {
        KINDS[kind]: NOTHING,
        **_shown(given),
        "StatusAttributeString": "ERROR",
        "HasErrors": True,
        "ValidationErrors": errors,
    }


def _summary(wrong: list[Record]) -> Answer:
    return _exception(400, 10, "ValidationException", "A validation exception occurred", Elements=wrong)


def _exception(status: int, number: int, kind: str, words: str, **more: Any) -> Answer:
    return answer(status, {"ErrorNumber": number, "Type": kind, "Message": words, **more})


def _not_found() -> Answer:
    return _exception(404, 17, "ObjectNotFoundException", "The resource you're looking for cannot be found")


def _problem(status: int, title: str, detail: str) -> Answer:
    return answer(
        status, {"Type": None, "Title": title, "Status": status, "Detail": detail, "Instance": "", "Extensions": {}}
    )


def _envelope(content: Record) -> Answer:
    return answer(200, {"Id": NOTHING, "Status": "OK", "ProviderName": "Sandbox", **content})
