"""HubSpot in the warehouse: the real sync, as a process, from the sandbox into each database that runs here."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from connectors.sandbox.call import Call
from connectors.sandbox.faults import Faults
from connectors.sandbox.hubspot import HubSpot
from connectors.sandbox.server import Sandbox
from tests.connectors.sandbox_thread import running
from tests.worker.refresher.sync_rig import Rig

LONG_AGO = 1_700_000_000.0


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with running(Sandbox(latency=0.0, hubspot=HubSpot(Faults(), search_lag=0.0))) as one:
        yield one


@pytest.fixture
def rig(warehouse_url: str, tmp_path: Path, sandbox: Sandbox) -> Rig:
    made = Rig(tmp_path, warehouse_url)
    made.connect("Hubspot", "hubspot", {"base_url": sandbox.url}, {"rate": 1_000})
    return made


def by_id(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in rows}


def test_from_the_first_refresh_to_the_archived_record(rig: Rig, sandbox: Sandbox) -> None:
    """All of it, typed; then what has changed; then what is gone, and whom it belonged to."""
    portal = sandbox.hubspot.portal
    people = [portal.create("contacts", {"email": f"{n}@acme.com"}, 0.0, LONG_AGO) for n in range(230)]
    deal = portal.create("deals", {"dealname": "Big", "amount": "1234567.25"}, 0.0, LONG_AGO)
    for person in people[:2]:
        portal.associations.link("deals", deal.id, "contacts", person.id, [3])

    first = rig.sync("Hubspot")

    assert (first.status, first.rows) == ("ok", {"contact": 230, "company": 0, "deal": 1, "ticket": 0}), first.detail
    found = by_id(rig.rows("hubspot", "deal"))[deal.id]
    assert (found["dealname"], found["amount"]) == ("Big", Decimal("1234567.25"))
    assert isinstance(found["updated_at"], datetime)
    assert len(rig.rows("hubspot", "contact")) == 230
    assert rig.rows("hubspot", "company") == []
    links = {(row["deal_id"], row["contact_id"]) for row in rig.rows("hubspot", "deal_contacts")}
    assert links == {(deal.id, people[0].id), (deal.id, people[1].id)}
    assert {line.progress.object for line in rig.progress} == {"contact", "company", "deal", "ticket"}

    portal.update("contacts", people[5], {"firstname": "New"}, 1.0, LONG_AGO + 86_400)
    portal.archive("contacts", people[0].id, 1.0)
    portal.associations.unlink("deals", deal.id, "contacts", people[1].id)
    portal.associations.link("deals", deal.id, "contacts", people[2].id, [3])
    portal.update("deals", deal, {"amount": ""}, 1.0, LONG_AGO + 86_400)
    before = sandbox.requests
    second = rig.sync("Hubspot", "contact", "deal")

    assert second.status == "ok", second.detail
    assert second.rows["deal"] == 1
    assert sandbox.requests - before < 20
    contacts = by_id(rig.rows("hubspot", "contact"))
    assert (len(contacts), contacts[people[5].id]["firstname"]) == (229, "New")
    assert people[0].id not in contacts
    assert by_id(rig.rows("hubspot", "deal"))[deal.id]["amount"] is None
    links = {(row["deal_id"], row["contact_id"]) for row in rig.rows("hubspot", "deal_contacts")}
    assert links == {(deal.id, people[2].id)}

    third = rig.sync("Hubspot", full=True)

    assert (third.status, third.rows["contact"]) == ("ok", 229), third.detail
    assert len(rig.rows("hubspot", "contact")) == 229


def test_a_custom_object_with_whom_it_belongs_to(tmp_path: Path, sandbox: Sandbox) -> None:
    """Its schema says which kinds there may be: each has a table, and a link that is gone is gone from there."""
    portal, call = sandbox.hubspot.portal, Call(1, "POST", "", {}, "", "", b"", 0.0, LONG_AGO)
    definition = {"name": "car", "properties": [{"name": "vin"}], "associatedObjects": ["contacts", "companies"]}
    car_kind = sandbox.hubspot.custom.define(call, definition).qualified
    owner, firm = (portal.create(kind, {}, 0.0, LONG_AGO).id for kind in ("contacts", "companies"))
    cars = [portal.create(car_kind, {"vin": f"V{n}"}, 0.0, LONG_AGO) for n in range(2)]
    for kind, other in (("contacts", owner), ("companies", firm)):
        (kept,) = portal.associations.types(car_kind, kind)
        for car in cars:
            portal.associations.link(car_kind, car.id, kind, other, [kept.id])
    rig = Rig(tmp_path, f"sqlite:///{tmp_path}/warehouse.db")
    rig.connect("Cars", "hubspot", {"base_url": sandbox.url, "refresh_objects": [car_kind]}, {"rate": 1_000})

    first = rig.sync("Cars", car_kind)

    assert (first.status, first.rows) == ("ok", {car_kind: 2}), first.detail
    owners = {(row[f"{car_kind}_id"], row["contact_id"]) for row in rig.rows("cars", f"{car_kind}_contacts")}
    firms = {(row[f"{car_kind}_id"], row["company_id"]) for row in rig.rows("cars", f"{car_kind}_companies")}
    assert owners == {(car.id, owner) for car in cars}
    assert firms == {(car.id, firm) for car in cars}

    portal.associations.unlink(car_kind, cars[0].id, "contacts", owner)
    portal.update(car_kind, cars[0], {"vin": "V9"}, 1.0, LONG_AGO + 86_400)
    second = rig.sync("Cars", car_kind)

    assert second.status == "ok", second.detail
    assert [row["contact_id"] for row in rig.rows("cars", f"{car_kind}_contacts")] == [owner]
