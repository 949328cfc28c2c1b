"""Salesforce: sObject Collections, SOQL, and what its codes mean."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from connectors.contract import (
    Absent,
    CannotTell,
    Connector,
    Delivered,
    Down,
    Found,
    Rejected,
    Retry,
    Throttled,
    Unknown,
    Verdict,
)
from connectors.errors import CallFailed, UnknownFunction
from connectors.registry import manifest
from connectors.saas.salesforce import soql
from connectors.saas.salesforce.connector import SalesforceConnector
from connectors.sandbox.faults import Fate, Faults
from connectors.sandbox.salesforce.bulk import Ingest, Job
from connectors.sandbox.salesforce.rest import Salesforce
from connectors.sandbox.server import Sandbox
from tests.conformance.connectors import NOW, SECRET, ConnectorContract
from tests.conformance.vendor import Told, Vendor
from topics.event.event import Event, Operation

AN_ID = "003gK0000000001AAA"
UNIQUE = {"contact": "External_Id__c", "Invoice__c": "Number__c"}


def made(url: str, *, secrets: dict[str, str] | None = None, **settings: Any) -> SalesforceConnector:
    settings = {"base_url": url, "allow_private_addresses": True, **settings}
    return SalesforceConnector(manifest("salesforce"), settings, secrets or {"access_token": "good"}, now=lambda: NOW)


def event(operation: str, kind: str = "contact", **fields: Any) -> Event:
    return Event(operation=Operation(operation), connection="salesforce", object=kind, fields=fields)


def refusal(code: str, words: str = "no") -> bytes:
    """A result of a batch."""
    return json.dumps([{"success": False, "errors": [{"statusCode": code, "message": words, "fields": []}]}]).encode()


class TestContract(ConnectorContract):
    name = "salesforce"
    object = "contact"
    add: ClassVar = {"name": "John Doe", "email": "john@acme.com"}
    update: ClassVar = {"id": AN_ID, "Email": "j@acme.com"}
    delete: ClassVar = {"id": AN_ID}
    done: ClassVar = json.dumps([{"id": AN_ID, "success": True, "errors": []}]).encode()

    def made(self, url: str, **settings: Any) -> Connector:
        return made(url, secrets={"access_token": SECRET}, **settings)

    @pytest.mark.parametrize("status", [404, 410])
    async def test_deleting_what_is_gone(self, vendor: Vendor, connector: Connector, status: int) -> None:
        """A record in the recycle bin is deleted; a 404 of Collections is about the address, and proves nothing."""
        gone = await self.verdict(vendor, connector, "delete", Told(body=refusal("ENTITY_IS_DELETED")))
        lost = await self.verdict(vendor, connector, "delete", Told(status))

        assert (type(gone), type(lost)) == (Delivered, Rejected)

    @pytest.mark.parametrize(
        ("code", "words", "added", "updated"),
        [
            ("UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access", Retry, Retry),
            ("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "T: caused by UNABLE_TO_LOCK_ROW", Retry, Retry),
            ("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "T: a null pointer", Rejected, Rejected),
            ("QUERY_TIMEOUT", "?", Retry, Retry),
            ("UNKNOWN_EXCEPTION", "An unexpected error occurred", Retry, Retry),
            ("STORAGE_LIMIT_EXCEEDED", "storage limit exceeded", Down, Down),
            ("INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE", "?", Down, Down),
            ("REQUIRED_FIELD_MISSING", "Required fields are missing: [LastName]", Rejected, Rejected),
            ("DUPLICATES_DETECTED", "Use one of these records?", Rejected, Rejected),
            ("ENTITY_IS_DELETED", "entity is deleted", Rejected, Rejected),
            ("A_CODE_OF_TOMORROW", "?", Rejected, Rejected),
        ],
    )
    async def test_refusals_of_one_record(  # noqa: PLR0917 - a row of the table
        self, vendor: Vendor, connector: Connector, code: str, words: str, added: type, updated: type
    ) -> None:
        """HTTP 200, and the record's own code decides; the reason has the code and the words."""
        told = Told(body=refusal(code, words))
        verdicts = [await self.verdict(vendor, connector, operation, told) for operation in ("add", "update")]

        assert [type(verdict) for verdict in verdicts] == [added, updated]
        assert all(code in verdict.reason and words in verdict.reason for verdict in verdicts)  # type: ignore[union-attr]

    @pytest.mark.parametrize(
        ("status", "code", "words", "added"),
        [
            (401, "INVALID_SESSION_ID", "Session expired or invalid", Down),
            (403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.", Throttled),
            (403, "API_DISABLED_FOR_ORG", "The REST API is not enabled for this Organization.", Down),
            (403, "INSUFFICIENT_ACCESS_OR_READONLY", "insufficient access rights on object id", Rejected),
            (400, "JSON_PARSER_ERROR", "Unexpected character", Rejected),
            (404, "NOT_FOUND", "The requested resource does not exist", Rejected),
            (500, "UNKNOWN_EXCEPTION", "An unexpected error occurred", Unknown),
            (503, "SERVER_UNAVAILABLE", "Server is too busy", Retry),
        ],
    )
    async def test_refusals_of_a_call(  # noqa: PLR0917
        self, vendor: Vendor, connector: Connector, status: int, code: str, words: str, added: type
    ) -> None:
        """An array of errors is the body of a refusal; a 403 is about the session only where its code says so."""
        body = json.dumps([{"message": words, "errorCode": code}]).encode()
        verdict = await self.verdict(vendor, connector, "add", Told(status, body))

        assert isinstance(verdict, added)
        assert f"{code}: {words}" in verdict.reason  # type: ignore[union-attr]

    async def test_which_limit(self, vendor: Vendor, connector: Connector) -> None:
        """Calls at once come free in seconds, the calls of a day in minutes at the earliest."""
        waits = []
        for words in ("ConcurrentRequests (Concurrent API Requests) Limit exceeded.", "TotalRequests Limit exceeded."):
            body = json.dumps([{"message": words, "errorCode": "REQUEST_LIMIT_EXCEEDED"}]).encode()
            verdict = await self.verdict(vendor, connector, "update", Told(403, body))
            assert isinstance(verdict, Throttled)
            waits.append(verdict.after)

        assert waits == [20, 900]

    async def test_usage(self, vendor: Vendor, connector: Connector) -> None:
        """``Sforce-Limit-Info`` is read from every answer."""
        headers = (("Sforce-Limit-Info", "api-usage=18/5000"),)
        await self.verdict(vendor, connector, "add", Told(200, self.done, headers))
        quota = connector.quota()

        assert quota is not None
        assert (quota.limit, quota.remaining) == (5000, 4982)


def test_every_code_is_salesforces_own() -> None:
    """Each code is in the enumerations of the partner WSDL, and in one row but where a row looks further."""
    known = set(Path(__file__).with_name("salesforce_codes.txt").read_text(encoding="utf-8").split())
    rows = manifest("salesforce").errors
    codes = [code for row in rows for code in row.codes or ()]
    twice = {code for code in codes if codes.count(code) > 1}

    assert sorted(set(codes) - known) == []
    assert twice == {"REQUEST_LIMIT_EXCEEDED", "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "CANNOT_EXECUTE_FLOW_TRIGGER"}


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    org = Salesforce(Faults(), tokens=frozenset({"good"}), page=200)
    async with Sandbox(latency=0, salesforce=org) as sandbox:
        yield sandbox


@pytest.fixture
async def salesforce(sandbox: Sandbox) -> AsyncIterator[SalesforceConnector]:
    connector = made(sandbox.url, unique=UNIQUE)
    yield connector
    await connector.close()


def stored(sandbox: Sandbox, sobject: str = "Contact") -> list[dict[str, Any]]:
    return [one for one in sandbox.salesforce.org.records[sobject].values() if not one["IsDeleted"]]


async def added(salesforce: SalesforceConnector, kind: str = "contact", **fields: Any) -> str:
    (verdict,) = await salesforce.deliver([event("add", kind, **fields)])
    assert isinstance(verdict, Delivered), verdict
    return str(verdict.id)


def kinds(verdicts: list[Verdict]) -> list[type]:
    return [type(verdict) for verdict in verdicts]


async def test_the_way_of_a_record(sandbox: Sandbox, salesforce: SalesforceConnector) -> None:
    """Made, changed (under its short id), upserted and deleted, each under names that people use."""
    first = await added(salesforce, email="john@acme.com", name="John van Doe", External_Id__c="a")
    second = await added(salesforce, name="Cher", Languages__c=["English", "Dutch"])
    verdicts = [
        *await salesforce.deliver([event("update", Id=first[:15], Title="CEO", Phone=None)]),
        *await salesforce.deliver([event("upsert", external_id__c="A", phone="+32")]),
        *await salesforce.deliver([event("upsert", searchfield="External_Id__c", searchterm="b", LastName="B")]),
        *await salesforce.deliver([event("delete", id=second)]),
    ]
    shown = [(one["FirstName"], one["LastName"], one["Title"], one["Phone"]) for one in stored(sandbox)]

    assert kinds(verdicts) == [Delivered] * 4
    assert shown == [("John van", "Doe", "CEO", "+32"), (None, "B", None, None)]
    assert sandbox.salesforce.org.records["Contact"][second]["Languages__c"] == "English;Dutch"


async def test_partial_success(sandbox: Sandbox, salesforce: SalesforceConnector) -> None:
    """One call; each event gets the verdict of its own record, in the order of the events."""
    locked = await added(salesforce, LastName="L")
    free = await added(salesforce, LastName="F")
    sandbox.salesforce.org.locked.add(locked)
    used = sandbox.salesforce.used
    changed = await salesforce.deliver(
        [
            event("update", id=locked, Title="x"),
            event("update", id=free, Title="x"),
            event("update", id="nonsense", Title="x"),
            event("update", id="003gK0000000099AAA", Title="x"),
        ]
    )
    more = await salesforce.deliver(
        [event("add", LastName="n"), event("add", Email="a@b.cc"), event("add", LastName="m", Email="nobody")]
    )

    assert kinds(changed) == [Retry, Delivered, Rejected, Rejected]
    assert "15 or 18 letters and digits" in changed[2].reason  # type: ignore[union-attr]
    assert kinds(more) == [Delivered, Rejected, Rejected]
    assert "REQUIRED_FIELD_MISSING: Required fields are missing: [LastName]" in more[1].reason  # type: ignore[union-attr]
    assert sandbox.salesforce.used - used == 2


async def test_a_call_that_is_refused_as_a_whole(sandbox: Sandbox, salesforce: SalesforceConnector) -> None:
    """A field that does not exist refuses all records, and nothing is done: the worker looks for the culprit."""
    verdicts = await salesforce.deliver([event("add", LastName="a"), event("add", LastName="b", Colour="red")])

    assert [isinstance(verdict, Rejected) and verdict.whole for verdict in verdicts] == [True, True]
    assert stored(sandbox) == []


async def test_upserts_of_one_batch_by_different_fields(sandbox: Sandbox, salesforce: SalesforceConnector) -> None:
    """The field is in the address: each has a call of its own, and the verdicts are in the order of the events."""
    verdicts = await salesforce.deliver(
        [
            event("upsert", External_Id__c="1", LastName="A"),
            event("upsert", searchfield="Shared_Key__c", searchterm="s", LastName="B"),
            event("upsert", External_Id__c="2", LastName="C"),
            event("upsert", LastName="nobody"),
            event("upsert", searchfield="../Account", searchterm="s"),
        ]
    )
    again = await salesforce.deliver([event("upsert", External_Id__c="1", LastName="A2")])

    assert kinds(verdicts) == [Delivered, Delivered, Delivered, Rejected, Rejected]
    assert sorted(one["LastName"] for one in stored(sandbox)) == ["A2", "B", "C"]
    assert again[0].id == verdicts[0].id  # type: ignore[union-attr]


async def test_an_external_id_that_several_records_have(sandbox: Sandbox, salesforce: SalesforceConnector) -> None:
    """Nothing is written, and the reason says which records they are."""
    ids = [await added(salesforce, LastName=name, Shared_Key__c="s") for name in "ab"]
    (verdict,) = await salesforce.deliver([event("upsert", searchfield="Shared_Key__c", searchterm="s", Title="x")])

    assert isinstance(verdict, Rejected)
    assert all(one in verdict.reason for one in ids)
    assert [one["Title"] for one in stored(sandbox)] == [None, None]


async def test_what_needs_an_id_or_must_not_have_one(salesforce: SalesforceConnector) -> None:
    """It is said before anything is sent."""
    verdicts = [
        *await salesforce.deliver([event("add", id=AN_ID, LastName="x")]),
        *await salesforce.deliver([event("upsert", id=AN_ID, External_Id__c="x")]),
        *await salesforce.deliver([event("update", LastName="x")]),
        *await salesforce.deliver([event("delete", id="a,b")]),
        *await salesforce.deliver([event("upsert", "account", Name="x")]),
    ]

    assert kinds(verdicts) == [Rejected] * 5
    assert "setting unique" in verdicts[4].reason  # type: ignore[union-attr]


async def test_any_sobject(sandbox: Sandbox, salesforce: SalesforceConnector) -> None:
    """An API name is an object of its own; a friendly name that is misspelt is an unknown function."""
    await added(salesforce, "Invoice__c", Number__c="7", Total__c=Decimal("12.50"))
    (wrong,) = await salesforce.deliver([event("add", "Contct", LastName="x")])

    assert [one["Total__c"] for one in stored(sandbox, "Invoice__c")] == [12.5]
    assert isinstance(wrong, Rejected)
    assert "INVALID_TYPE" in wrong.reason
    with pytest.raises(UnknownFunction, match=r"salesforce 1\.0 has contact\.add"):
        salesforce.function("contct", Operation.ADD)


async def test_an_add_whose_answer_was_lost(sandbox: Sandbox, salesforce: SalesforceConnector) -> None:
    """It is found by its external id; without one nobody can tell, and an older record is somebody else's."""
    lost = event("add", LastName="L", External_Id__c="it's")
    sandbox.dice["salesforce"].forced.append(Fate("dropped", performed=True))
    (verdict,) = await salesforce.deliver([lost])
    none = event("add", LastName="N", External_Id__c="none")
    old = event("add", LastName="O", External_Id__c="old")
    number = await added(salesforce, LastName="O", External_Id__c="old")
    sandbox.salesforce.org.records["Contact"][number]["CreatedDate"] = "2020-01-01T00:00:00.000+0000"
    findings = await salesforce.find([lost, none, event("add", LastName="x"), old])

    assert isinstance(verdict, Unknown)
    assert kinds(findings) == [Found, Absent, CannotTell, Absent]  # type: ignore[arg-type]
    assert salesforce.function("contact", Operation.ADD).findable
    assert not salesforce.function("account", Operation.ADD).findable


async def test_an_external_id_in_another_case(sandbox: Sandbox) -> None:
    """Salesforce answers with the field's own name, whatever the case in the connection and in the event."""
    salesforce = made(sandbox.url, unique={"contact": "external_id__c"})
    lost = event("add", LastName="L", External_ID__C="it's")
    sandbox.dice["salesforce"].forced.append(Fate("dropped", performed=True))
    (verdict,) = await salesforce.deliver([lost])
    findings = await salesforce.find([lost, event("add", LastName="N", EXTERNAL_ID__C="none")])
    await salesforce.close()

    assert isinstance(verdict, Unknown)
    assert kinds(findings) == [Found, Absent]  # type: ignore[arg-type]


def test_keys(salesforce: SalesforceConnector) -> None:
    """Both spellings of an id are one record; an external id is one whatever its case."""
    key = salesforce.record_key

    assert key("contact", Operation.UPDATE, {"id": AN_ID}) == key("contact", Operation.DELETE, {"Id": AN_ID[:15]})
    assert key("contact", Operation.UPSERT, {"external_id__c": "A"}) == key(
        "contact", Operation.ADD, {"External_Id__c": "a"}
    )
    assert key("account", Operation.ADD, {"Name": "A"}) is None


async def test_reads(salesforce: SalesforceConnector) -> None:
    """By id, by a field, and as a list that goes page by page; absent is empty, and wrong is an error."""
    ids = [await added(salesforce, LastName=name, Email=f"{name}@acme.com") for name in ("O'Hara", "b", "c")]
    one = await salesforce.read("contact", {"id": ids[0][:15]})
    found = await salesforce.read(
        "contact", {"searchfield": "LastName", "searchterm": "O'Hara", "fields": ["LastName"]}
    )
    absent = await salesforce.read("contact", {"id": "003gK0000000099AAA"})
    seen: list[str] = []
    bookmark = None
    while True:
        page = await salesforce.read("contact", {"limit": 2, "fields": ["Name"], "where": "Email != null"}, bookmark)
        seen += [record["Id"] for record in page.detail]
        bookmark = page.bookmark
        if bookmark is None:
            break

    assert (one.detail[0]["Email"], "attributes" in one.detail[0]) == ("O'Hara@acme.com", False)
    assert found.detail == [{"Id": ids[0], "LastName": "O'Hara"}]
    assert absent.detail == []
    assert seen == ids


@pytest.mark.parametrize(
    ("kind", "query", "words"),
    [
        ("contact", {"colour": "red"}, "does not take colour"),
        ("contact", {"searchfield": "Email"}, "needs a searchterm"),
        ("contact", {"searchfield": "Email = 'x' OR Name", "searchterm": "x"}, "not the name of a field"),
        ("contact", {"searchfield": "Email", "searchterm": ["x"]}, "cannot be searched for"),
        ("contact", {"limit": 0}, "limit is 0"),
        ("contact", {"fields": "Name"}, "not a list of names"),
        ("contact", {"fields": ["Nmae"]}, "INVALID_FIELD: No such column 'Nmae'"),
        ("Contct", {"id": AN_ID}, "INVALID_TYPE"),
    ],
)
async def test_reads_that_fail(salesforce: SalesforceConnector, kind: str, query: dict[str, Any], words: str) -> None:
    """A question that cannot be asked, or is refused, is no empty answer."""
    with pytest.raises(CallFailed, match=words):
        await salesforce.read(kind, query)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("it's", r"'it\'s'"),
        ("a\\' OR Id != '", r"'a\\\' OR Id != \''"),
        ("a\nb", r"'a\nb'"),
        (True, "true"),
        (None, "null"),
        (Decimal("1.50"), "1.50"),
        (1e-7, "0.0000001"),
    ],
)
def test_values_in_soql(value: Any, written: str) -> None:
    """Whatever a text holds, it stays inside its quotes."""
    assert soql.literal(value) == written


async def test_what_a_refresh_reads(sandbox: Sandbox, salesforce: SalesforceConnector) -> None:
    """Every field of the description, page by page; what has changed since; what was deleted."""
    org = sandbox.salesforce.org
    first = org.create("Contact", {"LastName": "first", "Email": "a@b.cc"}, 1_000.0)
    for number in range(201):
        org.create("Contact", {"LastName": f"n{number}"}, 2_000.0)
    org.delete("Contact", org.create("Contact", {"LastName": "gone"}, 1_000.0), 3_000.0)
    source = salesforce.source("contact")
    types = await source.properties()
    names = list(types)
    everything = [row async for page in source.pages("all", names) for row in page.rows]
    since = datetime.fromtimestamp(1_500, UTC)
    changed = [row async for page in source.pages("changed", names, since=since) for row in page.rows]
    deleted = [row async for page in source.pages("deleted", names) for row in page.rows]

    assert (types["HasOptedOutOfEmail"], types["SystemModstamp"]) == ("bool", "timestamp")
    assert [len(everything), len(changed), len(deleted)] == [202, 201, 1]
    assert (everything[0]["id"], everything[0]["Email"], "attributes" in everything[0]) == (first, "a@b.cc", False)


async def test_a_refresh_reads_what_the_connection_names(sandbox: Sandbox) -> None:
    """Further objects, and fewer fields; a field that is not there is named."""
    salesforce = made(
        sandbox.url,
        refresh_objects=["Invoice__c"],
        refresh_fields={"account": ["Name"], "lead": ["Nmae"], "contact": ["x"] * 2},
    )
    sandbox.salesforce.org.create("Invoice__c", {"Number__c": "7"}, 1_000.0)
    invoices = salesforce.source("invoice__c")
    rows = [row async for page in invoices.pages("all", list(await invoices.properties())) for row in page.rows]
    account = await salesforce.source("account").properties()
    with pytest.raises(CallFailed, match="Lead has no field Nmae"):
        await salesforce.source("lead").properties()
    with pytest.raises(CallFailed, match="refresh_fields"):
        salesforce.source("case").asked("all", [f"A_long_name_{number}__c" for number in range(800)], None)
    await salesforce.close()

    assert [row["Number__c"] for row in rows] == ["7"]
    assert sorted(account) == ["Name", "SystemModstamp"]
    assert "invoice__c" in salesforce.syncs()


async def test_tokens(sandbox: Sandbox) -> None:
    """A session that ended is renewed once, and the call is made again; a wrong client holds the connection."""
    secrets = {"client_secret": "secret", "refresh_token": "r"}
    salesforce = made(sandbox.url, secrets=secrets, client_id="key")
    first = await salesforce.deliver([event("add", LastName="a")])
    sandbox.salesforce.expire()
    second = await salesforce.deliver([event("add", LastName="b")])
    await salesforce.close()
    wrong = made(sandbox.url, secrets={"client_secret": "no"}, client_id="key")
    (held,) = await wrong.deliver([event("add", LastName="c")])
    await wrong.close()

    assert kinds([*first, *second]) == [Delivered, Delivered]
    assert sandbox.salesforce.issued == 2
    assert isinstance(held, Down)
    assert "invalid client credentials" in held.reason


async def test_an_app_that_signs() -> None:
    """The JWT bearer flow: the app's key, the user's name, and the audience of the login page."""
    key = rsa.generate_private_key(65_537, 2_048)
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    org = Salesforce(Faults(), tokens=frozenset(), certificate=public.decode())
    answers: list[Verdict] = []
    async with Sandbox(latency=0, salesforce=org) as sandbox:
        for login_url in ("https://login.salesforce.com", "https://test.salesforce.com"):
            settings = {"client_id": "key", "username": "bot@acme.com", "login_url": login_url}
            connector = made(sandbox.url, secrets={"private_key": pem}, **settings)
            answers += await connector.deliver([event("add", LastName="a")])
            await connector.close()

    assert kinds(answers) == [Delivered, Down]
    assert "the audience is another" in answers[1].reason  # type: ignore[union-attr]


async def test_the_calls_of_a_day(sandbox: Sandbox, salesforce: SalesforceConnector) -> None:
    """Used up: throttled, and nothing is lost."""
    sandbox.salesforce.daily = sandbox.salesforce.used + 1
    first = await salesforce.deliver([event("add", LastName="a")])
    second = await salesforce.deliver([event("add", LastName="b")])
    quota = salesforce.quota()

    assert kinds([*first, *second]) == [Delivered, Throttled]
    assert quota is not None
    assert quota.remaining == 0


@pytest.fixture
async def bulk(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SalesforceConnector]:
    async def at_once(_seconds: float) -> None:
        return None

    monkeypatch.setattr(SalesforceConnector, "sleep", staticmethod(at_once))
    connector = made(sandbox.url, unique=UNIQUE, bulk_from=3)
    yield connector
    await connector.close()


async def test_a_job(sandbox: Sandbox, bulk: SalesforceConnector) -> None:
    """Each event gets the result of its own row, whatever the order of the results, with its code where it failed."""
    first = await bulk.deliver(
        [
            event("add", name="A", email="a@x.com"),
            event("add", email="b@x.com"),
            event("add", name="C", HasOptedOutOfEmail=True),
            event("add", name="A", email="a@x.com"),
            event("add", LastName="#N/A"),
        ]
    )
    ids = [one.id for one in first if isinstance(one, Delivered)]
    changed = await bulk.deliver([event("update", id=number, Phone=f"{place}, x") for place, number in enumerate(ids)])
    upserted = await bulk.deliver(
        [event("upsert", External_Id__c=key, LastName=key, Phone=None, email=None) for key in ("x", "y", "z")]
    )
    again = await bulk.deliver([event("upsert", External_Id__c=key, LastName=key) for key in ("z", "y", "x")])
    sandbox.salesforce.org.locked.add(str(ids[0]))
    deleted = await bulk.deliver([event("delete", id=number) for number in ids])
    left = {one["LastName"] for one in stored(sandbox)}

    assert kinds(first) == [Delivered, Rejected, Delivered, Delivered, Delivered]
    assert "REQUIRED_FIELD_MISSING: Required fields are missing: [LastName]" in first[1].reason  # type: ignore[union-attr]
    assert len(set(ids)) == 4
    assert [sandbox.salesforce.org.records["Contact"][str(one)]["Phone"] for one in ids] == [
        "0, x", "1, x", "2, x", "3, x",
    ]  # fmt: skip
    assert kinds([*changed, *upserted, *again]) == [Delivered] * 10
    assert [one.id for one in again][::-1] == [one.id for one in upserted]  # type: ignore[union-attr]
    assert kinds(deleted) == [Retry, Delivered, Delivered, Delivered]
    assert len(sandbox.salesforce.ingest.jobs) == 5
    assert left == {"A", "x", "y", "z"}


async def test_a_job_that_is_refused(sandbox: Sandbox, bulk: SalesforceConnector) -> None:
    """Nothing was done: the worker looks for the culprit. Few events need no job."""
    verdicts = await bulk.deliver(
        [event("add", LastName=name, **({"Colour": "red"} if name == "c" else {})) for name in "abc"]
    )
    few = await bulk.deliver([event("add", LastName="a"), event("add", LastName="b")])

    assert [isinstance(verdict, Rejected) and verdict.whole for verdict in verdicts] == [True] * 3
    assert "Field name not found : Colour" in verdicts[0].reason  # type: ignore[union-attr]
    assert (kinds(few), len(sandbox.salesforce.ingest.jobs)) == ([Delivered] * 2, 1)


@pytest.mark.parametrize(
    ("path", "performed", "added", "upserted"),
    [
        ("/jobs/ingest", False, Retry, Retry),
        ("/batches", False, Retry, Retry),
        ("/jobs/ingest/750", True, Retry, Retry),
        ("/successfulResults", False, Delivered, Delivered),
    ],
)
async def test_answers_that_a_job_loses(  # noqa: PLR0917
    sandbox: Sandbox, bulk: SalesforceConnector, path: str, performed: bool, added: type, upserted: type
) -> None:
    """Until the job is closed nothing was done; a result that cannot be read at once is read again."""
    for operation, wanted in (("add", added), ("upsert", upserted)):
        sandbox.dice["salesforce"].forced.append(Fate("dropped", performed=performed, path=path))
        verdicts = await bulk.deliver(
            [event(operation, External_Id__c=key, LastName=key) for key in (f"{operation}{n}" for n in range(3))]
        )

        assert kinds(verdicts) == [wanted] * 3
    assert "Open" not in {job.state for job in sandbox.salesforce.ingest.jobs.values()}


@pytest.mark.parametrize(("performed", "expected"), [(True, Delivered), (False, Retry)])
async def test_a_closing_without_an_answer(
    sandbox: Sandbox, bulk: SalesforceConnector, performed: bool, expected: type
) -> None:
    """The job says whether it was closed: then it is waited for; else it is aborted, and nothing was done."""
    sandbox.dice["salesforce"].forced += [
        Fate("answered", status=200, body='{"id": "750gK0000000001AAA", "state": "Open"}', path="/jobs/ingest"),
        Fate("answered", status=201, path="/batches"),
        Fate("dropped", performed=performed, path="/jobs/ingest/750gK0000000001AAA"),
    ]
    job = sandbox.salesforce.ingest._opened({"operation": "insert", "object": "Contact"})
    job.rows, job.columns = [{"LastName": name} for name in "abc"], ["LastName"]
    verdicts = await bulk.deliver([event("add", LastName=name) for name in "abc"])

    assert kinds(verdicts) == [expected] * 3
    assert job.state == ("JobComplete" if performed else "Aborted")


async def test_a_job_that_is_not_done_in_time(
    sandbox: Sandbox, bulk: SalesforceConnector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is aborted before its rows are given up: what is done by then is delivered, and the rest is sent again."""

    def half(self: Ingest, job: Job, at: float) -> None:
        for row in job.rows[:1]:
            number, _ = self._one(job, row, at)
            job.done.append({"sf__Id": number, "sf__Created": "true", **row})

    monkeypatch.setattr(Ingest, "_carried_out", half)
    monkeypatch.setattr("connectors.saas.salesforce.bulk.LONGEST", 0.5)
    verdicts = await bulk.deliver([event("add", LastName=name) for name in "abc"])
    (job,) = sandbox.salesforce.ingest.jobs.values()

    assert kinds(verdicts) == [Delivered, Retry, Retry]
    assert job.state == "Aborted"


async def test_a_closing_that_nobody_confirms(sandbox: Sandbox, bulk: SalesforceConnector) -> None:
    """The job may be done: unknown for what is not idempotent, tried again for what is."""
    for operation, wanted in (("add", Unknown), ("upsert", Retry)):
        sandbox.dice["salesforce"].forced += [
            Fate("answered", status=200, body='{"id": "750gK", "state": "Open"}', path="/jobs/ingest"),
            Fate("answered", status=201, path="/batches"),
            Fate("dropped", path="/jobs/ingest/750gK"),
        ]
        verdicts = await bulk.deliver([event(operation, External_Id__c=key, LastName=key) for key in "abc"])

        assert kinds(verdicts) == [wanted] * 3
