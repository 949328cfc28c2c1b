"""HubSpot, as its manifest has it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import pytest

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
)
from connectors.errors import BadConnection, CallFailed, UnknownFunction
from connectors.registry import manifest
from connectors.saas.hubspot.connector import HubSpotConnector
from connectors.sandbox.faults import Faults
from connectors.sandbox.hubspot import HubSpot as SandboxHubSpot
from connectors.sandbox.server import Sandbox
from tests.conformance.connectors import ConnectorContract
from tests.conformance.vendor import Told, Vendor
from topics.event.event import Event, Operation


class TestContract(ConnectorContract):
    name = "hubspot"
    object = "contact"
    add: ClassVar = {"email": "john@acme.com", "name": "John Doe"}
    update: ClassVar = {"id": 123, "name": "John"}
    delete: ClassVar = {"id": 123}
    deleted = Told(204)

    @pytest.mark.parametrize(
        ("told", "verdict", "after"),
        [
            (Told(429, b'{"errorType": "RATE_LIMIT", "policyName": "TEN_SECONDLY_ROLLING"}'), Throttled, 10),
            (Told(429, b'{"errorType": "RATE_LIMIT", "policyName": "DAILY"}'), Throttled, 3_600),
            (Told(423), Retry, 2),
            (Told(477), Down, 600),
            (Told(521), Retry, None),
            (Told(524), Retry, None),
            (Told(401, b'{"category": "INVALID_AUTHENTICATION"}'), Down, None),
            (Told(403, b'{"category": "BANNED"}'), Down, None),
            (Told(403, b'{"category": "USER_DOES_NOT_HAVE_PERMISSIONS"}'), Down, None),
            (Told(400, b'{"category": "EXPIRED_AUTHENTICATION"}'), Down, None),
            (Told(402, b'{"category": "PAYMENT_REQUIRED"}'), Down, None),
            (Told(403, b'{"category": "RATE_LIMITS"}'), Throttled, 10),
            (Told(429, b'{"policyName": "SECONDLY"}'), Throttled, 1),
            (Told(200, b'{"status": "error", "category": "RATE_LIMITS"}'), Throttled, 10),
        ],
    )
    async def test_waits(
        self, vendor: Vendor, connector: Connector, told: Told, verdict: type, after: float | None
    ) -> None:
        """Each of HubSpot's transient answers waits as its documentation says."""
        answer = await self.verdict(vendor, connector, "update", told)

        assert (type(answer), answer.after) == (verdict, after)  # type: ignore[union-attr]

    async def test_missing_scopes(self, vendor: Vendor, connector: Connector) -> None:
        """A token that may not touch tickets does not stop the contacts."""
        told = {"category": "MISSING_SCOPES", "errors": [{"context": {"requiredGranularScopes": ["tickets"]}}]}
        answer = await self.verdict(vendor, connector, "update", Told(403, json.dumps(told).encode()))
        told["errors"][0]["context"]["requiredGranularScopes"] = ["oauth"]  # type: ignore[index]
        nothing = await self.verdict(vendor, connector, "update", Told(403, json.dumps(told).encode()))

        assert [type(answer), type(nothing)] == [Rejected, Down]


async def test_an_origin_that_was_not_reached(vendor: Vendor, hubspot: HubSpotConnector) -> None:
    """What the proxy in front of HubSpot could not hand on was surely not done; a time-out may have been."""
    verdicts = []
    for status in (521, 523, 525, 526, 522, 524):
        vendor.told = Told(status)
        verdicts += await hubspot.deliver([event("add", email="a@acme.com")])

    assert [type(verdict) for verdict in verdicts] == [Retry] * 4 + [Unknown] * 2


def test_every_known_answer_has_its_place() -> None:
    """Nothing that HubSpot is known to say is left to the default, and nothing stands in two places by mistake."""
    lines = Path(__file__).with_name("hubspot_errors.txt").read_text(encoding="utf-8").splitlines()
    known = [line for line in lines if not line.startswith("#") and not line.endswith("built-in")]
    rows = manifest("hubspot").errors
    codes = [code for row in rows for code in row.codes or ()]
    statuses = {str(status) for row in rows for status in row.statuses or ()}

    assert sorted(set(known) - set(codes) - statuses) == []
    assert sorted({code for code in codes if codes.count(code) > 1}) == ["MISSING_SCOPES"]


@pytest.fixture
async def vendor() -> AsyncIterator[Vendor]:
    async with Vendor() as vendor:
        yield vendor


@pytest.fixture
async def hubspot(vendor: Vendor) -> AsyncIterator[HubSpotConnector]:
    connector = made(vendor.url)
    yield connector
    await connector.close()


def made(url: str, **settings: Any) -> HubSpotConnector:
    return HubSpotConnector(
        manifest("hubspot"),
        {"base_url": url, "allow_private_addresses": True, **settings},
        {"access_token": "pat-test"},
    )


def event(operation: str, kind: str = "contact", **fields: Any) -> Event:
    return Event(operation=Operation(operation), connection="hubspot", object=kind, fields=fields)


def contacts(count: int) -> list[Event]:
    return [event("add", email=f"p{number}@acme.com") for number in range(count)]


async def test_partial_success_is_attributed_by_trace_id(vendor: Vendor, hubspot: HubSpotConnector) -> None:
    """In a 207 each event gets its own verdict, in whatever order the answer comes."""
    batch = contacts(4)
    vendor.told = Told(
        207,
        json.dumps(
            {
                "status": "COMPLETE",
                "results": [
                    {"id": "93", "objectWriteTraceId": batch[3].id},
                    {"id": "90", "objectWriteTraceId": batch[0].id},
                ],
                "errors": [
                    {"category": "CONFLICT", "message": "exists", "context": {"objectWriteTraceId": [batch[2].id]}},
                    {
                        "category": "VALIDATION_ERROR",
                        "message": "bad",
                        "context": {"objectWriteTraceId": [batch[1].id]},
                    },
                ],
            }
        ).encode(),
    )
    first, second, third, fourth = await hubspot.deliver(batch)

    assert isinstance(first, Delivered)
    assert isinstance(fourth, Delivered)
    assert (first.id, fourth.id) == ("90", "93")
    assert isinstance(second, Rejected)
    assert (second.reason, second.conflict, second.whole) == ("VALIDATION_ERROR: bad", False, False)
    assert isinstance(third, Rejected)
    assert third.conflict


async def test_what_a_207_leaves_unsaid_is_unknown(vendor: Vendor, hubspot: HubSpotConnector) -> None:
    """An error that names nobody is not given to anybody by its position."""
    vendor.told = Told(
        207,
        b'{"status": "COMPLETE", "results": [{"id": "1"}], "errors": [{"category": "VALIDATION_ERROR"}]}',
    )

    assert [type(verdict) for verdict in await hubspot.deliver(contacts(2))] == [Unknown, Unknown]
    updates = [event("update", id=1, name="a"), event("update", id=2, name="b")]
    vendor.told = Told(
        207, b'{"status": "COMPLETE", "results": [{"id": "2"}], "errors": [{"category": "VALIDATION_ERROR"}]}'
    )

    assert [type(verdict) for verdict in await hubspot.deliver(updates)] == [Retry, Delivered]


@pytest.mark.parametrize(
    ("told", "verdict"),
    [
        (Told(201, b"{"), Unknown),
        (Told(207, b"{"), Unknown),
        (Told(503), Unknown),
        (Told(behaviour="reset_read"), Unknown),
        (Told(429), Throttled),
        (Told(401), Down),
        (Told(204, b""), Unknown),
    ],
)
async def test_batches_as_a_whole(vendor: Vendor, hubspot: HubSpotConnector, told: Told, verdict: type) -> None:
    """What holds for the whole batch holds for each of its events."""
    vendor.told = told

    assert [type(one) for one in await hubspot.deliver(contacts(3))] == [verdict] * 3


async def test_a_refused_batch_asks_to_be_bisected(vendor: Vendor, hubspot: HubSpotConnector) -> None:
    """A batch refused as a whole says so; a batch of one has nothing to bisect."""
    vendor.told = Told(400, b'{"message": "one of them is bad"}')
    batch = await hubspot.deliver(contacts(2))
    (single,) = await hubspot.deliver([event("upsert", email="a@b.c")])

    assert [isinstance(one, Rejected) and one.whole for one in batch] == [True, True]
    assert isinstance(single, Rejected)
    assert not single.whole


async def test_an_event_that_cannot_travel_stays_alone(vendor: Vendor, hubspot: HubSpotConnector) -> None:
    """An event without the field that names its record is refused; the others are delivered."""
    vendor.told = Told(204)
    first, second = await hubspot.deliver([event("delete", id=1), event("delete", key="x")])

    assert isinstance(first, Delivered)
    assert isinstance(second, Rejected)
    assert "needs the field id" in second.reason
    assert json.loads(vendor.received[0].body) == {"inputs": [{"id": "1"}]}


async def test_found_is_ours_or_not(vendor: Vendor, hubspot: HubSpotConnector) -> None:
    """A record that was there before the event is not the event's work."""
    now = datetime.now(UTC)
    old = {"id": "1", "properties": {"email": "p0@acme.com"}, "createdAt": "2020-01-01T00:00:00.000Z"}
    new = {"id": "2", "properties": {"email": "P1@acme.com "}, "createdAt": now.isoformat()}
    vendor.told = Told(200, json.dumps({"status": "COMPLETE", "results": [new, old]}).encode())
    findings = await hubspot.find([*contacts(3), event("add", name="nobody")])

    assert [type(finding) for finding in findings] == [Absent, Found, Absent, CannotTell]
    assert isinstance(findings[1], Found)
    assert findings[1].id == "2"


async def test_a_partial_answer_proves_nothing(vendor: Vendor, hubspot: HubSpotConnector) -> None:
    """Missing from an answer with an unrelated error is not absent."""
    vendor.told = Told(207, b'{"status": "COMPLETE", "results": [], "errors": [{"category": "INTERNAL_ERROR"}]}')
    unsure = await hubspot.find(contacts(1))
    vendor.told = Told(207, b'{"status": "COMPLETE", "results": [], "errors": [{"category": "OBJECT_NOT_FOUND"}]}')
    absent = await hubspot.find(contacts(1))

    assert isinstance(unsure[0], CannotTell)
    assert absent == [Absent()]


def test_keys() -> None:
    """Records are told apart by id, and by the unique property whatever its case."""
    hubspot = made("https://api.hubapi.com", unique={"company": "external_id"})

    assert hubspot.record_key("contact", Operation.ADD, {"email": " John@ACME.com"}) == "john@acme.com"
    assert hubspot.record_key("contact", Operation.UPSERT, {"searchfield": "ext", "searchterm": 7}) == "7"
    assert hubspot.record_key("contact", Operation.UPDATE, {"id": 12, "email": "x"}) == "12"
    assert hubspot.record_key("company", Operation.ADD, {"external_id": "E1"}) == "e1"
    assert hubspot.record_key("deal", Operation.ADD, {"dealname": "x"}) is None


def test_functions() -> None:
    """What can be asked about depends on the unique property that the connection names."""
    plain = made("https://api.hubapi.com")
    own = made("https://api.hubapi.com", unique={"company": "external_id"})

    assert plain.function("contact", Operation.ADD).findable
    assert not plain.function("company", Operation.ADD).findable
    assert own.function("company", Operation.ADD).findable
    assert {plain.function("deal", one).batch_max for one in Operation} == {100}
    with pytest.raises(UnknownFunction, match=r"hubspot 1\.0 has contact\.add"):
        plain.function("invoice", Operation.ADD)


@pytest.mark.parametrize(
    ("settings", "secrets", "words"),
    [
        ({}, {}, "bearer needs access_token"),
        ({"path_prefix": "/v9"}, {"access_token": "x"}, "one of /crm/objects/2026-03, /crm/v3/objects"),
        ({"access_token": "x"}, {}, "access_token is a secret"),
        ({"colour": "red"}, {"access_token": "x"}, "no setting 'colour'"),
        ({"unique": "email"}, {"access_token": "x"}, "not of type object"),
        ({"base_url": "ftp://x"}, {"access_token": "x"}, "is not a base URL"),
        ({"timeout_seconds": 0}, {"access_token": "x"}, "more than 0"),
        ({"allow_private_addresses": ["x"]}, {"access_token": "x"}, "not a network"),
    ],
)
def test_bad_connections(settings: dict[str, Any], secrets: dict[str, str], words: str) -> None:
    """Settings that are not right are refused with their name."""
    with pytest.raises(BadConnection, match=words):
        HubSpotConnector(manifest("hubspot"), settings, secrets)


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(latency=0, hubspot=SandboxHubSpot(Faults(), search_lag=0)) as sandbox:
        yield sandbox


@pytest.mark.parametrize("prefix", ["/crm/objects/2026-03", "/crm/v3/objects"])
@pytest.mark.parametrize("kind", ["contact", "company", "deal", "ticket"])
async def test_every_function_against_the_sandbox(sandbox: Sandbox, kind: str, prefix: str) -> None:
    """A record of each kind is added, updated, read, listed, and deleted twice."""
    hubspot = made(sandbox.url, path_prefix=prefix)
    name = {"contact": "firstname", "company": "name", "deal": "dealname", "ticket": "subject"}[kind]
    stage = {"hs_pipeline_stage": 1} if kind == "ticket" else {}
    first, second = await hubspot.deliver([event("add", kind, **{name: word}, **stage) for word in ("one", "two")])
    assert isinstance(first, Delivered)
    assert isinstance(second, Delivered)
    (updated,) = await hubspot.deliver([event("update", kind, id=first.id, **{name: "uno"})])
    got = await hubspot.read(kind, {"id": first.id, "properties": [name]})
    listed = await hubspot.read(kind, {"limit": 1})
    rest = await hubspot.read(kind, {"limit": 1}, listed.bookmark)
    searched = await hubspot.read(kind, {"searchfield": name, "searchterm": "two"})
    (deleted,) = await hubspot.deliver([event("delete", kind, id=first.id)])
    both = await hubspot.deliver([event("delete", kind, id=first.id), event("delete", kind, id=second.id)])
    gone = await hubspot.read(kind, {"id": first.id})
    await hubspot.close()

    assert got.detail[0]["properties"][name] == "uno"
    assert [page.detail[0]["id"] for page in (listed, rest)] == [first.id, second.id]
    assert [record["id"] for record in searched.detail] == [second.id]
    assert {type(one) for one in (updated, deleted, *both)} == {Delivered}
    assert gone.detail == []


async def test_upsert_and_find_against_the_sandbox(sandbox: Sandbox) -> None:
    """Upserts meet the record of their email, one by one and in batches; find sees what is there."""
    hubspot = made(sandbox.url)
    added = event("add", email="John@acme.com", firstname="John")
    (first,) = await hubspot.deliver([added])
    (upserted,) = await hubspot.deliver([event("upsert", email="john@acme.com", firstname="Jo")])
    batch = await hubspot.deliver(
        [event("upsert", email="john@acme.com", lastname="Doe"), event("upsert", email="jane@acme.com")]
    )
    (twice,) = await hubspot.deliver([event("add", email="john@acme.com")])
    findings = await hubspot.find([added, event("add", email="nobody@acme.com")])
    one = await hubspot.read("contact", {"searchfield": "email", "searchterm": "john@acme.com"})
    none = await hubspot.read("contact", {"searchfield": "email", "searchterm": "nobody@acme.com"})
    with pytest.raises(CallFailed, match="does not take colour"):
        await hubspot.read("contact", {"colour": "red"})
    await hubspot.close()

    assert isinstance(first, Delivered)
    assert isinstance(upserted, Delivered)
    assert (upserted.id, [type(one) for one in batch]) == (first.id, [Delivered, Delivered])
    assert isinstance(twice, Rejected)
    assert twice.conflict
    assert [type(finding) for finding in findings] == [Found, Absent]
    assert isinstance(findings[0], Found)
    assert findings[0].id == first.id
    assert ([record["id"] for record in one.detail], none.detail) == ([first.id], [])


async def test_partial_updates_against_the_sandbox(sandbox: Sandbox) -> None:
    """Of a batch of updates with a record that is not there, the others are done; deleting it is no mistake."""
    hubspot = made(sandbox.url)
    added = await hubspot.deliver([event("add", email=f"{name}@acme.com") for name in "ab"])
    ids = [verdict.id for verdict in added if isinstance(verdict, Delivered)]
    updates = [event("update", id=record, firstname="x") for record in (ids[0], "999999", ids[1])]
    verdicts = await hubspot.deliver(updates)
    deleted = await hubspot.deliver([event("delete", id=record) for record in ("999999", *ids)])
    await hubspot.close()

    assert [type(verdict) for verdict in verdicts] == [Delivered, Rejected, Delivered]
    assert [verdict.id for verdict in verdicts if isinstance(verdict, Delivered)] == ids
    assert {type(verdict) for verdict in deleted} == {Delivered}


async def test_upsert_by_another_property_against_the_sandbox() -> None:
    """A connection that names a unique property upserts and finds companies by it; a script can name another."""
    schema = SandboxHubSpot(Faults(), search_lag=0)
    async with Sandbox(latency=0, hubspot=schema) as sandbox:
        hubspot = made(sandbox.url, unique={"company": "external_id"})
        first = await hubspot.deliver([event("upsert", "company", external_id="E1", name="Acme")])
        second = await hubspot.deliver(
            [event("upsert", "company", searchfield="external_id", searchterm="E1", name="B")]
        )
        await hubspot.close()

    assert [type(verdict) for verdict in (*first, *second)] == [Delivered, Delivered]
    assert len({verdict.id for verdict in (*first, *second) if isinstance(verdict, Delivered)}) == 1


async def test_a_partial_batch_against_the_sandbox(sandbox: Sandbox) -> None:
    """Of a batch with one record that HubSpot never accepts, the others are there."""
    hubspot = made(sandbox.url)
    verdicts = await hubspot.deliver(
        [event("add", email="a@acme.com"), event("add", email="b@refused.example"), event("add", email="c@acme.com")]
    )
    await hubspot.close()

    assert [type(verdict) for verdict in verdicts] == [Delivered, Rejected, Delivered]
    assert len({verdict.id for verdict in verdicts if isinstance(verdict, Delivered)}) == 2


async def test_the_names_that_people_write(sandbox: Sandbox) -> None:
    """`name` arrives as first and last name, one by one and in batches; what is given by its own name wins."""
    hubspot = made(sandbox.url)
    added = [*await hubspot.deliver([event("add", email="john@acme.com", name="John Doe")])]
    added += await hubspot.deliver(
        [event("add", email="a@acme.com", name="Cher"), event("add", email="b@acme.com", name="J. C. van Damme")]
    )
    john, cher, jean = [verdict.id for verdict in added if isinstance(verdict, Delivered)]
    await hubspot.deliver([event("update", id=cher, name="Cher Bono", firstname="Cherilyn")])
    await hubspot.deliver([event("update", id=john, name="Jane Roe"), event("update", id=jean, name="JC")])
    shown = [await hubspot.read("contact", {"id": each}) for each in (john, cher, jean)]
    await hubspot.close()
    names = [(page.detail[0]["properties"]["firstname"], page.detail[0]["properties"]["lastname"]) for page in shown]

    assert names == [("Jane", "Roe"), ("Cherilyn", "Bono"), ("JC", "Damme")]


async def test_the_names_that_people_write_in_upserts(sandbox: Sandbox) -> None:
    """An upsert by email takes `name`, alone and among others."""
    hubspot = made(sandbox.url)
    await hubspot.deliver([event("upsert", email="john@acme.com", name="John Doe")])
    verdicts = await hubspot.deliver(
        [event("upsert", email="john@acme.com", name="Johnny Doe"), event("upsert", email="a@acme.com", name="A B")]
    )
    one = await hubspot.read("contact", {"searchfield": "email", "searchterm": "john@acme.com"})
    await hubspot.close()

    assert [type(verdict) for verdict in verdicts] == [Delivered, Delivered]
    assert (one.detail[0]["properties"]["firstname"], one.detail[0]["properties"]["lastname"]) == ("Johnny", "Doe")


async def test_the_name_of_deals_tickets_and_companies(sandbox: Sandbox) -> None:
    """A deal's `name` is its dealname, a ticket's its subject, and a company's its own."""
    hubspot = made(sandbox.url)
    written = [
        event("add", "deal", name="Big", amount=5),
        event("add", "ticket", name="Broken", hs_pipeline_stage=1),
        event("add", "company", name="Acme Inc"),
    ]
    verdicts = [(await hubspot.deliver([one]))[0] for one in written]
    await hubspot.close()
    assert all(isinstance(verdict, Delivered) for verdict in verdicts)
    details = [verdict.detail["properties"] for verdict in verdicts if isinstance(verdict, Delivered)]

    assert (details[0]["dealname"], details[1]["subject"], details[2]["name"]) == ("Big", "Broken", "Acme Inc")
