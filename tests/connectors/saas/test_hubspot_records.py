"""HubSpot's notes, custom objects, associations and merged records, against the sandbox."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Any

import pytest

from connectors.contract import Delivered, Found, Rejected, Throttled, Verdict
from connectors.errors import BadConnection, CallFailed, UnknownFunction
from connectors.registry import manifest
from connectors.saas.hubspot.connector import HubSpotConnector
from connectors.sandbox.call import Call
from connectors.sandbox.faults import Fate, Faults
from connectors.sandbox.hubspot import HubSpot as SandboxHubSpot
from connectors.sandbox.server import Sandbox
from topics.event.event import Event, Operation

CAR = {
    "name": "car",
    "labels": {"singular": "Car", "plural": "Cars"},
    "requiredProperties": ["vin"],
    "associatedObjects": ["CONTACT"],
    "properties": [{"name": "vin", "hasUniqueValue": True}, {"name": "make"}],
}


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(latency=0, hubspot=SandboxHubSpot(Faults(), search_lag=0)) as sandbox:
        call = Call(0, "POST", "", {}, "", "", b"", now=0.0, at=0.0)
        sandbox.hubspot.custom.define(call, CAR)
        yield sandbox


@pytest.fixture
async def hubspot(sandbox: Sandbox) -> AsyncIterator[HubSpotConnector]:
    connector = made(sandbox.url)
    yield connector
    await connector.close()


def made(url: str, **settings: Any) -> HubSpotConnector:
    settings = {"base_url": url, "allow_private_addresses": True, **settings}
    return HubSpotConnector(manifest("hubspot"), settings, {"access_token": "pat-test"})


def event(operation: str, kind: str = "contact", **fields: Any) -> Event:
    return Event(operation=Operation(operation), connection="hubspot", object=kind, fields=fields)


def id_of(verdict: Verdict) -> str:
    assert isinstance(verdict, Delivered), verdict
    assert verdict.id is not None
    return verdict.id


def reason_of(verdict: Verdict) -> str:
    assert isinstance(verdict, Rejected), verdict
    return verdict.reason


async def record(hubspot: HubSpotConnector, kind: str = "contact", **fields: Any) -> str:
    (verdict,) = await hubspot.deliver([event("add", kind, **fields)])
    return id_of(verdict)


async def properties(hubspot: HubSpotConnector, kind: str, record_id: str, *names: str) -> Mapping[str, Any]:
    page = await hubspot.read(kind, {"id": record_id, "properties": list(names)})
    found: Mapping[str, Any] = page.detail[0]["properties"]
    return found


async def associated(hubspot: HubSpotConnector, here: str, record_id: str, there: str) -> dict[str, list[str | None]]:
    page = await hubspot.read("association", {"from_type": here, "from_id": record_id, "to_type": there})
    return {one["toObjectId"]: [each["label"] for each in one["associationTypes"]] for one in page.detail}


# -- notes ------------------------------------------------------------------------------------------------------------


async def test_a_note_belongs_to_its_records(hubspot: HubSpotConnector) -> None:
    """A note has the event's time where it has none, and belongs to the records that it names by kind."""
    john, acme = await record(hubspot, email="john@acme.com"), await record(hubspot, "company", name="Acme")
    called = event("add", "note", body="Called John", associations={"contact": int(john), "company": [acme]})
    dated = event("add", "note", hs_note_body="Met John", time="2026-01-02T03:04:05Z", associations={"contact": john})
    first, second = await hubspot.deliver([called, dated])

    notes = [await properties(hubspot, "note", id_of(each), "hs_note_body", "hs_timestamp") for each in (first, second)]
    assert [note["hs_note_body"] for note in notes] == ["Called John", "Met John"]
    assert datetime.fromisoformat(notes[0]["hs_timestamp"]) == called.time.replace(
        microsecond=called.time.microsecond // 1_000 * 1_000
    )
    assert notes[1]["hs_timestamp"] == "2026-01-02T03:04:05Z"
    assert list(await associated(hubspot, "contact", john, "note")) == [id_of(first), id_of(second)]
    assert list(await associated(hubspot, "note", id_of(first), "company")) == [acme]


@pytest.mark.parametrize(
    ("associations", "words"),
    [
        ({"contract": 1}, "'contract' is no kind of record: contact, company, deal, ticket, note, or a custom object"),
        ({"contact": None}, "associations.contact: None is neither an id nor"),
        ({"contact": {"label": "x"}}, "is neither an id nor"),
        ({"contact": {"id": 1, "label": "Boss"}}, "no label 'Boss' from notes to contacts; there are no labels"),
        ({"contact": 999_999}, "One or more associations are invalid: CONTACT=999999 is not valid"),
        ([{"to": {"id": "1"}}], "required fields were not set"),
    ],
)
async def test_associations_that_are_refused(hubspot: HubSpotConnector, associations: Any, words: str) -> None:
    """What is no association of a note is refused with what is wrong, and the note is not made."""
    (verdict,) = await hubspot.deliver([event("add", "note", body="x", associations=associations)])

    assert words in reason_of(verdict)
    assert (await hubspot.read("note", {})).detail == []


async def test_associations_come_with_a_new_record_only(hubspot: HubSpotConnector) -> None:
    """HubSpot takes none in an update or an upsert, and would take the name for a property."""
    updated = await hubspot.deliver([event("update", id=1, associations={"company": 1})])
    upserted = await hubspot.deliver([event("upsert", email="a@acme.com", associations={"company": 1})])

    assert ["with a new record only" in reason_of(each) for each in (*updated, *upserted)] == [True, True]


# -- custom objects ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["p7007_car", "2-3453932", "p_car"])
async def test_a_custom_object_by_each_of_its_names(sandbox: Sandbox, name: str) -> None:
    """Made, found, changed, listed, upserted and deleted under any name that HubSpot has for it."""
    hubspot = made(sandbox.url, unique={name: "vin"})
    one, two = [id_of(each) for each in await hubspot.deliver([event("add", name, vin=vin) for vin in ("V1", "V2")])]
    (upserted,) = await hubspot.deliver([event("upsert", name, vin="V1", make="Saab")])
    (named,) = await hubspot.deliver([event("upsert", name, searchfield="vin", searchterm="V3", make="Volvo")])
    listed = await hubspot.read(name, {"properties": ["vin", "make"]})
    found = await hubspot.read(name, {"searchfield": "vin", "searchterm": "V2"})
    (deleted,) = await hubspot.deliver([event("delete", name, id=two)])
    await hubspot.close()

    assert id_of(upserted) == one
    assert isinstance(deleted, Delivered)
    assert [(each["properties"]["vin"], each["properties"]["make"]) for each in listed.detail] == [
        ("V1", "Saab"),
        ("V2", None),
        ("V3", "Volvo"),
    ]
    assert [each["id"] for each in found.detail] == [two]
    assert id_of(named) == listed.detail[2]["id"]


async def test_the_schema_of_a_custom_object_is_asked_once(sandbox: Sandbox, hubspot: HubSpotConnector) -> None:
    """What a new record needs, and what finds one, is known before it is sent; the good ones of a batch go."""
    cars = [
        event("add", "p7007_car", vin="V1"),
        event("add", "p7007_car", make="Saab"),
        event("add", "p7007_car", vin=2),
    ]
    first, second, third = await hubspot.deliver(cars)
    (by_make,) = await hubspot.deliver([event("upsert", "p7007_car", searchfield="make", searchterm="Saab")])
    asked = [entry for entry in sandbox.ledger.entries if entry.operation == "schemas"]

    assert [type(first), type(third), len(asked)] == [Delivered, Delivered, 1]
    assert reason_of(second) == "a new p7007_car needs vin"
    assert reason_of(by_make) == "the values of make are not unique in p7007_car: those of vin are"


async def test_a_custom_object_that_is_not_there(hubspot: HubSpotConnector) -> None:
    """Its name is refused with those that there are; a misspelt friendly name is no custom object."""
    (verdict,) = await hubspot.deliver([event("add", "p7007_cra", vin="V1")])

    assert reason_of(verdict) == "HubSpot has no custom object p7007_cra; it has p7007_car (2-3453932)"
    with pytest.raises(UnknownFunction, match=r"contact\.add"):
        hubspot.function("contcat", Operation.ADD)


async def test_a_schema_that_cannot_be_asked_for_now(sandbox: Sandbox, hubspot: HubSpotConnector) -> None:
    """While HubSpot is throttled nothing is refused, and nothing is sent."""
    sandbox.dice["hubspot"].forced.append(Fate("throttled", retry_after=7))
    (verdict,) = await hubspot.deliver([event("add", "p7007_car", vin="V1")])

    assert isinstance(verdict, Throttled)
    assert verdict.after == 7
    assert (await hubspot.read("p7007_car", {})).detail == []


def test_what_a_refresh_reads_besides() -> None:
    """Notes and custom objects are read where the connection says so, and under a name that a table can have."""
    plain, more = made("https://api.hubapi.com"), made("https://api.hubapi.com", refresh_objects=["note", "p7007_car"])

    assert list(plain.syncs()) == ["contact", "company", "deal", "ticket"]
    assert list(more.syncs())[4:] == ["note", "p7007_car"]
    assert set(more.syncs()["note"].related) == {"contacts", "companies", "deals", "tickets"}
    with pytest.raises(BadConnection, match="'2-345' is neither note nor"):
        made("https://api.hubapi.com", refresh_objects=["2-345"])


# -- associations -----------------------------------------------------------------------------------------------------


async def test_associations_by_label(sandbox: Sandbox, hubspot: HubSpotConnector) -> None:
    """Made with labels and without, read, and taken away: a label alone, or all there is."""
    sandbox.hubspot.portal.associations.define("contacts", "companies", "Decision maker", "Decides for")
    john, jane = await record(hubspot, email="john@acme.com"), await record(hubspot, email="jane@acme.com")
    acme = await record(hubspot, "company", name="Acme")
    between = {"from_type": "contact", "to_type": "company", "to_id": acme}
    made_all = await hubspot.deliver(
        [
            event("add", "association", **between, from_id=john, label="decision MAKER"),
            event("add", "association", **between, from_id=int(jane)),
            event(
                "add", "association", from_type="company", from_id=acme, to_type="contact", to_id=john, label="Primary"
            ),
        ]
    )
    before = (
        await associated(hubspot, "contact", john, "company"),
        await associated(hubspot, "company", acme, "contact"),
    )
    again = await hubspot.deliver([event("upsert", "association", **between, from_id=john, label="Primary")])
    removed = await hubspot.deliver(
        [
            event("delete", "association", **between, from_id=john, label="Decision maker"),
            event("delete", "association", **between, from_id=jane),
        ]
    )
    twice = await hubspot.deliver([event("delete", "association", **between, from_id=jane)])

    assert {type(each) for each in (*made_all, *again, *removed, *twice)} == {Delivered}
    assert before == (
        {acme: ["Primary", "Decision maker", None]},
        {john: ["Primary", "Decides for", None], jane: [None]},
    )
    assert await associated(hubspot, "contact", john, "company") == {acme: ["Primary", None]}
    assert await associated(hubspot, "contact", jane, "company") == {}
    assert sum(entry.operation == "labels" for entry in sandbox.ledger.entries) == 2


async def test_a_batch_of_associations_with_one_that_cannot_be(hubspot: HubSpotConnector) -> None:
    """HubSpot's error need not say whose it is: the others are delivered all the same, and the wrong one is refused."""
    people = [await record(hubspot, email=f"{name}@acme.com") for name in "ab"]
    acme = await record(hubspot, "company", name="Acme")
    verdicts = await hubspot.deliver(
        [
            event("add", "association", from_type="contact", from_id=each, to_type="company", to_id=acme)
            for each in (people[0], 999_999, people[1])
        ]
    )

    assert [type(each) for each in verdicts] == [Delivered, Rejected, Delivered]
    assert "One or more associations are invalid" in reason_of(verdicts[1])
    assert set(await associated(hubspot, "company", acme, "contact")) == set(people)


async def test_a_label_that_is_new(sandbox: Sandbox) -> None:
    """A label that is not known is looked for again, but not for every event."""
    now = [1_000_000.0]
    settings = {"base_url": sandbox.url, "allow_private_addresses": True}
    hubspot = HubSpotConnector(manifest("hubspot"), settings, {"access_token": "x"}, now=lambda: now[0])
    john, acme = await record(hubspot, email="john@acme.com"), await record(hubspot, "company", name="Acme")
    boss = event("add", "association", from_type="contact", from_id=john, to_type="company", to_id=acme, label="Boss")
    refused = [(await hubspot.deliver([boss]))[0] for _ in range(3)]
    asked = sum(entry.operation == "labels" for entry in sandbox.ledger.entries)
    sandbox.hubspot.portal.associations.define("contacts", "companies", "Boss")
    now[0] += 31
    (done,) = await hubspot.deliver([boss])
    await hubspot.close()

    assert "no label 'Boss' from contacts to companies; there are primary" in reason_of(refused[0])
    assert asked == 1
    assert isinstance(done, Delivered)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"from_id": 1, "to_id": 2}, "needs from_type and to_type"),
        ({"from_type": "contact", "from_id": 1, "to_type": "firm", "to_id": 2}, "'firm' is no kind of record"),
        ({"from_type": "contact", "to_type": "company", "to_id": 2}, "needs the field from_id"),
        ({"from_type": "note", "from_id": 1, "to_type": "note", "to_id": 2}, "no association from notes to notes"),
    ],
)
async def test_no_associations(hubspot: HubSpotConnector, fields: dict[str, Any], words: str) -> None:
    """What does not say which two records is refused."""
    (verdict,) = await hubspot.deliver([event("add", "association", **fields)])

    assert words in reason_of(verdict)


async def test_the_associations_of_a_custom_object(hubspot: HubSpotConnector) -> None:
    """A custom object is associated by its own name."""
    john, car = await record(hubspot, email="john@acme.com"), await record(hubspot, "p7007_car", vin="V1")
    fields = {"from_type": "p7007_car", "from_id": car, "to_type": "contact", "to_id": john}
    (verdict,) = await hubspot.deliver([event("add", "association", **fields)])

    assert isinstance(verdict, Delivered)
    assert await associated(hubspot, "contact", john, "2-3453932") == {car: [None]}
    with pytest.raises(CallFailed, match="needs from_type and to_type"):
        await hubspot.read("association", {"from_id": john})


# -- merged records, and what a contact has several of ----------------------------------------------------------------


@pytest.fixture
async def merged(sandbox: Sandbox, hubspot: HubSpotConnector) -> tuple[str, str]:
    """John, who has the addresses of two contacts: the id that is left, and the one that is gone."""
    kept = await record(hubspot, email="john@acme.com", firstname="John")
    gone = await record(hubspot, email="jd@home.example", lastname="Doe")
    await hubspot.call(
        "/crm/objects/2026-03/contacts/merge", method="post", body={"primaryObjectId": kept, "objectIdToMerge": gone}
    )
    return kept, gone


async def test_a_merged_record_answers_by_the_id_that_is_left(
    hubspot: HubSpotConnector, merged: tuple[str, str]
) -> None:
    """Reads and changes by the old id reach the record, alone and in a batch, and say its id."""
    kept, gone = merged
    (alone,) = await hubspot.deliver([event("update", id=gone, city="Ghent")])
    other = await record(hubspot, email="jane@acme.com")
    both = await hubspot.deliver([event("update", id=gone, city="Genk"), event("update", id=other, city="Bruges")])
    read = await hubspot.read("contact", {"id": gone, "properties": ["city", "hs_merged_object_ids"]})

    assert [id_of(each) for each in (alone, *both)] == [kept, kept, other]
    assert (read.detail[0]["id"], read.detail[0]["properties"]["city"]) == (kept, "Genk")
    assert read.detail[0]["properties"]["hs_merged_object_ids"] == gone


async def test_a_contact_by_each_of_its_addresses(hubspot: HubSpotConnector, merged: tuple[str, str]) -> None:
    """Found, changed and upserted by the second address; the first stays the first."""
    kept, _ = merged
    found = await hubspot.read("contact", {"searchfield": "email", "searchterm": "JD@home.example"})
    (updated,) = await hubspot.deliver([event("update", id="jd@home.example", idProperty="email", city="Ghent")])
    (upserted,) = await hubspot.deliver([event("upsert", email="jd@home.example", jobtitle="Boss")])
    several = await hubspot.deliver(
        [event("upsert", email=each, fax="1") for each in ("jd@home.example", "x@acme.com")]
    )
    after = await properties(hubspot, "contact", kept, "city", "jobtitle", "fax", "hs_additional_emails")

    assert found.detail[0]["id"] == id_of(updated) == id_of(upserted) == id_of(several[0]) == kept
    assert (after["email"], after["hs_additional_emails"]) == ("john@acme.com", "jd@home.example")
    assert (after["city"], after["jobtitle"], after["fax"]) == ("Ghent", "Boss", "1")


async def test_an_add_is_found_by_an_address_that_became_the_second(
    hubspot: HubSpotConnector, merged: tuple[str, str]
) -> None:
    """After an answer that was lost the contact is found, though somebody has merged it since."""
    kept, _ = merged
    (finding,) = await hubspot.find([event("add", email="jd@home.example")])

    assert isinstance(finding, Found)
    assert finding.id == kept


# -- values -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", ["update", "upsert"])
async def test_null_clears_a_property(hubspot: HubSpotConnector, operation: str) -> None:
    """A null arrives as nothing; what is not named stays as it was."""
    john = await record(hubspot, email="john@acme.com", city="Ghent", fax="1", interests=["cars"])
    named = {"id": john} if operation == "update" else {"email": "john@acme.com"}
    (verdict,) = await hubspot.deliver([event(operation, **named, city=None, interests=None)])
    after = await properties(hubspot, "contact", john, "city", "fax", "interests")

    assert isinstance(verdict, Delivered)
    assert (after["city"], after["fax"], after["interests"]) == ("", "1", "")


async def test_a_list_is_a_choice_of_several(hubspot: HubSpotConnector) -> None:
    """Alone and in a batch; an option that is none is refused for its record alone."""
    john = await record(hubspot, email="john@acme.com", interests=["cars", "boats"])
    good, bad = await hubspot.deliver(
        [event("upsert", email=f"{name}@acme.com", interests=["trains", name]) for name in ("boats", "planes")]
    )
    shown = [await properties(hubspot, "contact", each, "interests") for each in (john, id_of(good))]

    assert [each["interests"] for each in shown] == ["cars;boats", "trains;boats"]
    assert "trains;planes was not one of the allowed options" in reason_of(bad)
