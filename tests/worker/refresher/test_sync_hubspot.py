"""HubSpot in the warehouse: the real sync, as a process, from the sandbox into each database that runs here."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

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
