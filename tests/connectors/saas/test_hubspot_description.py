"""HubSpot's own description of its API judges what the connector sends and what the sandbox answers."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from connectors.contract import Delivered
from connectors.registry import manifest
from connectors.saas.hubspot.connector import HubSpotConnector
from connectors.sandbox.call import Answer, Call
from connectors.sandbox.faults import Faults
from connectors.sandbox.hubspot import HubSpot as SandboxHubSpot
from connectors.sandbox.ledger import Entry
from connectors.sandbox.server import Sandbox
from tests.connectors.saas.test_hubspot_records import CAR, event, id_of
from tests.connectors.sandbox.description import Description, descriptions

FILES = descriptions("hubspot-*.json")
UNDESCRIBED = re.compile(r"/crm-object-schemas/|/crm/properties/|/labels is not described|/merge is not described")
"""What the files that there are do not cover."""
NOT_SO = re.compile(
    # the real service takes a record without associations, and its own documentation shows some
    r"'associations' is a required property"
    # what is not set is null: a property in an answer to a read, and the label of an association that has none
    r"|(properties\.\w+|\.label): None is not of type 'string'"
    # searches without these are in its documentation
    r"|search, the whole: '(after|limit|properties|sorts)' is a required property"
    # all fields of an error are optional, says the error-handling page
    r"|the 404 to GET .* 'category' is a required property"
)


class Judged:
    """A sandbox whose calls are kept."""

    def __init__(self, hubspot: SandboxHubSpot) -> None:
        self.calls: list[tuple[Call, Answer]] = []
        self._perform: Callable[[Call, list[Entry]], Answer] = hubspot.perform

    def perform(self, call: Call, entries: list[Entry]) -> Answer:
        answer = self._perform(call, entries)
        self.calls.append((call, answer))
        return answer


@pytest.mark.skipif(
    not FILES, reason="HubSpot's API descriptions are not here: tests/connectors/sandbox/description.py"
)
async def test_every_request_and_answer_is_as_hubspot_describes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """All functions of all kinds, alone and in batches, with answers that are good, partial and refusals."""
    vendor = SandboxHubSpot(Faults(), search_lag=0)
    judged = Judged(vendor)
    monkeypatch.setattr(vendor, "perform", judged.perform)
    async with Sandbox(latency=0, hubspot=vendor) as sandbox:
        vendor.custom.define(Call(0, "POST", "", {}, "", "", b"", now=0.0, at=0.0), CAR)
        settings = {"base_url": sandbox.url, "allow_private_addresses": True, "unique": {"p7007_car": "vin"}}
        hubspot = HubSpotConnector(manifest("hubspot"), settings, {"access_token": "pat-test"})
        await everything(hubspot)
        await hubspot.close()
    description = Description(FILES)
    mistakes = [mistake for call, answer in judged.calls for mistake in description.mistakes(call, answer)]

    assert [one for one in mistakes if not UNDESCRIBED.search(one) and not NOT_SO.search(one)] == []
    assert len(description.seen) > 40


async def everything(hubspot: HubSpotConnector) -> None:
    """Every function that there is, the batches with one record that is refused."""
    records: dict[str, str] = {}
    for kind, new in NEW.items():
        name, value = FIRST[kind]
        records[kind] = id_of((await hubspot.deliver([event("add", kind, **{**new, name: value})]))[0])
        several = await hubspot.deliver(
            [event("add", kind, **{**new, name: value + "2"}), event("add", kind, **new, no_such="x")]
        )
        assert isinstance(several[0], Delivered)
        await hubspot.deliver([event("update", kind, id=records[kind], **{name: value + "3"})])
        await hubspot.deliver([event("update", kind, id=each, **{name: value + "4"}) for each in (records[kind], 999)])
        await hubspot.read(kind, {"id": records[kind], "properties": [name]})
        await hubspot.read(kind, {"limit": 1})
        await hubspot.read(kind, {"searchfield": name, "searchterm": value})
        await hubspot.read(kind, {"id": 999})
    await hubspot.deliver([event("upsert", email="u@acme.com"), event("upsert", email="no address")])
    await hubspot.deliver([event("upsert", "p7007_car", vin="V9"), event("upsert", "p7007_car", vin="V8", colour="x")])
    await hubspot.find([event("add", email="u@acme.com"), event("add", email="nobody@acme.com")])
    john, acme = records["contact"], records["company"]
    between = {"from_type": "contact", "from_id": john, "to_type": "company"}
    good, bad = event("add", "association", **between, to_id=acme), event("add", "association", **between, to_id=999)
    await hubspot.deliver([good, bad])
    await hubspot.read("association", between)
    await hubspot.deliver([event("add", "note", body="x", associations={"contact": john})])
    await hubspot.deliver([event("delete", "association", **between, to_id=acme, label="Primary")])
    await hubspot.deliver([event("delete", "association", **between, to_id=acme)])
    for kind, record in records.items():
        await hubspot.deliver([event("delete", kind, id=record)])
        await hubspot.deliver([event("delete", kind, id=each) for each in (record, 998)])


NEW: dict[str, dict[str, Any]] = {
    "contact": {"lastname": "Doe"},
    "company": {"name": "Acme"},
    "deal": {"dealname": "Big"},
    "ticket": {"subject": "Help", "hs_pipeline_stage": 1},
    "note": {"hs_note_body": "Called"},
    "p7007_car": {"make": "Saab"},
}
FIRST = {
    "contact": ("firstname", "John"),
    "company": ("name", "Acme"),
    "deal": ("dealname", "Big"),
    "ticket": ("subject", "Help"),
    "note": ("hs_note_body", "Called"),
    "p7007_car": ("vin", "V"),
}
