"""``writeback verify``: what was delivered against what the last refresh brought, and what differs sent again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.worker.refresher.verify.desk import NOON, Desk
from topics.event.event import Event

BEFORE, AFTER = NOON - 600, NOON + 600
PEOPLE: dict[str, Any] = {"partner": {"all": {"path": "/partners", "records": "@"}, "types": {"id": "bigint"}}}


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def contact(number: int, changed: float = BEFORE, **more: Any) -> dict[str, Any]:
    return {"id": str(number), "email": f"{number}@x.example", "firstname": "New", "updated_at": at(changed)} | more


def written(event: Event) -> tuple[str, str, str | None, dict[str, Any]]:
    return event.operation, event.object, event.key, event.fields


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Desk]:
    made = Desk(tmp_path, f"sqlite:///{tmp_path}/warehouse.db", capsys)
    nowhere = {"base_url": "http://127.0.0.1:9"}
    made.connect("Hubspot", "hubspot", nowhere, "access_token")
    made.connect("Odoo", "odoo", {**nowhere, "database": "odoo", "username": "admin"}, "api_key")
    made.connect("ERP", "http", {**nowhere, "resources": PEOPLE})
    yield made
    made.close()


def test_all_is_as_it_was_sent(desk: Desk) -> None:
    """Exit code 0; names are split as the connector splits them, and of several changes the last one counts."""
    desk.deliver("hubspot", "add", "contact", BEFORE, "1", email="1@x.example", name="John Doe", associations=[])
    desk.deliver("hubspot", "update", "contact", BEFORE + 1, "1", id="1@x.example", idProperty="email", firstname="Jo")
    desk.deliver("hubspot", "upsert", "contact", BEFORE, "2", email="2@X.example", amount="5.0")
    desk.deliver("hubspot", "delete", "contact", BEFORE, None, id="3")
    desk.bring("hubspot", "contact", contact(1, firstname="Jo", lastname="Doe"), contact(2, amount=5.0))
    desk.refreshed("hubspot", NOON)

    assert desk.verify("hubspot") == 0, desk.said
    assert desk.said == "3 records of hubspot, by 4 delivered events: 3 as sent\n"
    assert "contact: refreshed" in desk.warned
    assert "fields that the refresh does not bring, and nobody compared: associations, idProperty" in desk.warned


def test_what_differs(desk: Desk) -> None:
    """Field by field, with the event that wrote it last; what is missing, or there although deleted, or another's."""
    desk.deliver("hubspot", "update", "contact", BEFORE, "1", id="1", firstname="A", lastname="B")
    second = desk.deliver("hubspot", "update", "contact", BEFORE, "1", id="1", lastname="C")
    gone = desk.deliver("hubspot", "add", "contact", BEFORE, "2", email="2@x.example")
    desk.deliver("hubspot", "delete", "contact", BEFORE, None, id="3")
    desk.deliver("hubspot", "update", "contact", BEFORE, "4", id="4", firstname="Mine")
    desk.deliver("hubspot", "update", "contact", AFTER, "5", id="5", firstname="Later")
    rows = [
        contact(1, firstname="A", lastname="B"),
        contact(3),
        contact(4, BEFORE + 60, firstname="Theirs"),
        contact(5),
    ]
    desk.bring("hubspot", "contact", *rows)
    desk.refreshed("hubspot", NOON)

    code, (*lines, summary) = desk.told("hubspot")

    assert code == 3
    said = {line["record"]: (line["verdict"], line["event"], line["fields"], line["reason"]) for line in lines}
    assert said["1"][:3] == ("different", second.id, {"lastname": {"sent": "C", "found": "B"}})
    assert said["1"][3] == 'lastname: sent "C", there is "B"'
    assert (said["2"][:2], said["2"][3]) == (("missing", gone.id), "it is not in the warehouse")
    assert (said["3"][0], said["3"][3]) == ("different", "it was deleted, and is there")
    assert said["4"][0] == "changed"
    assert said["5"][0] == "waiting"
    records = {"same": 0, "different": 2, "missing": 1, "changed": 1, "waiting": 1, "unknown": 0}
    assert (summary["records"], summary["events"]) == (records, 6)


def test_a_listing_in_the_terms_of_letters(desk: Desk) -> None:
    """A line for each, as many as --limit says."""
    for number in range(3):
        desk.deliver("hubspot", "update", "contact", BEFORE, str(number), id=str(number), firstname="Sent")
    desk.bring("hubspot", "contact", *map(contact, range(3)))
    desk.refreshed("hubspot", NOON)

    assert desk.verify("Hubspot", "--limit", "2") == 3
    head, *lines, total = desk.said.splitlines()
    assert head == "event\twhen\tconnection\twhat\tverdict\treason"
    assert [line.split("\t")[2:] for line in lines] == [
        ["hubspot", f"update contact/{number}", "different", 'firstname: sent "Sent", there is "New"']
        for number in (0, 1)
    ]
    assert total == "3 records of hubspot, by 3 delivered events: 3 different"
    assert "1 more are not shown: --limit, or --json" in desk.warned


def test_events_that_the_log_has_no_more(desk: Desk) -> None:
    """Whether the record is there can be said, what was in it cannot; nothing is called different that may not be."""
    desk.deliver("hubspot", "add", "contact", BEFORE, "1", email="1@x.example")
    desk.deliver("hubspot", "add", "contact", BEFORE, "2", email="2@x.example")
    desk.deliver("hubspot", "delete", "contact", BEFORE, None, id="9")
    desk.forget_events("hubspot")
    desk.deliver("hubspot", "update", "contact", BEFORE + 1, "1", id="1", firstname="New")
    desk.bring("hubspot", "contact", contact(1))
    desk.refreshed("hubspot", NOON)

    code, (*lines, summary) = desk.told("hubspot")

    assert code == 3
    assert {line["record"]: line["verdict"] for line in lines} == {"1": "unknown", "2": "missing"}
    assert (summary["events_not_in_log"], summary["events_without_record"]) == (2, 1)
    assert desk.verify("hubspot", "--resend", "--yes") == 3
    assert "1 stay: the log has not all of its events any more" in desk.warned


def test_since_and_objects(desk: Desk) -> None:
    """Only what was delivered since, of these kinds; each kind has its own last refresh."""
    desk.deliver("hubspot", "update", "contact", BEFORE, "1", id="1", firstname="Old")
    desk.deliver("hubspot", "update", "deal", BEFORE + 60, "7", id="7", dealname="Big")
    desk.bring("hubspot", "contact", contact(1))
    desk.bring("hubspot", "deal", {"id": "7", "dealname": "Big"})
    desk.refreshed("hubspot", BEFORE + 30)
    desk.refreshed("hubspot", NOON, "deal")

    since = at(BEFORE + 30).isoformat()
    assert desk.verify("hubspot", "--since", since) == 0
    assert desk.said.startswith("1 record of hubspot, by 1 delivered event: 1 as sent")
    assert desk.told("hubspot", "--object", "contact")[1][-1]["records"]["different"] == 1
    assert desk.verify("hubspot", "--object", "invoice") == 1
    assert "cannot verify invoice: a refresh reads contact, company, deal, ticket" in desk.warned


def test_nothing_to_compare_yet(desk: Desk) -> None:
    """Nothing delivered is no difference; delivered and never refreshed is nothing that was verified."""
    assert desk.verify("hubspot") == 0
    assert desk.said == "0 records of hubspot, by 0 delivered events: none\n"
    desk.deliver("hubspot", "update", "contact", BEFORE, "1", id="1", firstname="New")
    assert desk.verify("hubspot") == 3
    assert "contact: never refreshed" in desk.warned
    assert "writeback refresh hubspot --wait" in desk.warned


def test_sent_again(desk: Desk) -> None:
    """An update of what differs, a delete, a record made anew with its later changes; others' changes stay."""
    desk.deliver("hubspot", "add", "contact", BEFORE, "1", email="1@x.example", firstname="A")
    desk.deliver("hubspot", "update", "contact", BEFORE + 1, "1", id="1", firstname="B", lastname="C")
    desk.deliver("hubspot", "upsert", "contact", BEFORE, "2", email="2@x.example", firstname="A")
    desk.deliver("hubspot", "update", "contact", BEFORE + 1, "2", id="2@x.example", idProperty="email", firstname="B")
    desk.deliver("hubspot", "delete", "contact", BEFORE, None, id="3")
    desk.deliver("hubspot", "update", "contact", BEFORE, "4", id="4", firstname="Mine")
    desk.deliver("hubspot", "update", "contact", BEFORE, "5", id="5", firstname="Mine")
    rows = [contact(1, firstname="A", lastname="C"), contact(3), contact(4, BEFORE + 60, firstname="Theirs")]
    desk.bring("hubspot", "contact", *rows)
    desk.refreshed("hubspot", NOON)

    assert desk.verify("hubspot", "--resend") == 2
    assert "nobody is there to be asked: say --yes" in desk.warned
    assert desk.verify("hubspot", "--resend", "--yes") == 3
    assert "To send: 1 x update contact, 1 x upsert contact, 1 x delete contact" in desk.warned
    assert "1 stay: changed since by somebody else: --overwrite sends it all the same" in desk.warned
    assert "1 stay: the record is gone, and an update brings none back" in desk.warned
    assert [written(event) for event in desk.sent("hubspot")[7:]] == [
        ("update", "contact", "1", {"id": "1", "firstname": "B"}),
        ("upsert", "contact", "2@x.example", {"email": "2@x.example", "firstname": "B"}),
        ("delete", "contact", "3", {"id": "3"}),
    ]
    assert desk.verify("hubspot", "--resend", "--overwrite", "--yes") == 3
    assert desk.sent("hubspot")[-1].fields == {"id": "4", "firstname": "Mine"}


def test_odoo(desk: Desk) -> None:
    """Its numbers, its empty values, its models by their own names, and aliases of fields."""
    desk.deliver("odoo", "update", "product", BEFORE, "1", id=1, name="New product name", price=100.05, barcode=None)
    desk.deliver("odoo", "update", "product.template", BEFORE, None, id="2", sale_ok="false")
    desk.deliver("odoo", "delete", "product", BEFORE, None, id=456)
    desk.bring(
        "odoo",
        "product",
        {"id": 1, "name": "New product name", "list_price": 100.0, "barcode": None, "sale_ok": True},
        {"id": 2, "name": "x", "list_price": 1.0, "barcode": None, "sale_ok": False},
    )
    desk.refreshed("odoo", NOON)

    code, (line, summary) = desk.told("odoo")

    assert (code, summary["records"]["same"]) == (3, 2)
    assert (line["record"], line["fields"]) == ("1", {"list_price": {"sent": 100.05, "found": 100.0}})
    assert desk.verify("odoo", "--resend", "--yes") == 0
    assert written(desk.sent("odoo")[-1]) == ("update", "product", "1", {"id": "1", "list_price": 100.05})


def test_requests_of_any_api(desk: Desk) -> None:
    """The body is the record, the path ends with its name; the same requests go again, and no add that doubles."""
    desk.deliver("erp", "update", "partner", BEFORE, path="/partners/1", body={"fullName": "A", "vip": True})
    desk.deliver("erp", "update", "partner", BEFORE, path="/partners/1", body={"vip": False})
    desk.deliver("erp", "add", "partner", BEFORE, "2", path="/partners", body={"fullName": "B"})
    desk.deliver("erp", "add", "partner", BEFORE, "3", path="/partners", body={"fullName": "C"})
    desk.deliver("erp", "update", "report", BEFORE, path="/reports/1", body={})
    desk.bring("erp", "partner", {"id": 1, "full_name": "Z", "vip": False}, {"id": 2, "full_name": "Y", "vip": True})
    desk.refreshed("erp", NOON)

    code, (*lines, summary) = desk.told("erp")

    assert (code, summary["events_not_read"]) == (3, {"report": 1})
    assert {line["record"]: line["verdict"] for line in lines} == {"1": "different", "2": "different", "3": "missing"}
    assert desk.verify("erp", "--resend", "--yes") == 3
    assert "1 stay: the request that wrote it would make the record twice" in desk.warned
    assert [event.fields["body"] for event in desk.sent("erp")[5:]] == [
        {"fullName": "A", "vip": True},
        {"vip": False},
        {"fullName": "C"},
    ]


def test_what_cannot_be_verified(desk: Desk) -> None:
    """A connection that no refresh reads, and one that another tool loads, are refused by their names."""
    desk.connect("Slack", "slack", {"base_url": "http://127.0.0.1:9"}, "access_token")
    call = {"refresh": {"call": {"tool": "command", "command": ["true"]}}}
    desk.connect("Airbyte", "hubspot", {"base_url": "http://127.0.0.1:9"}, "access_token", policy=call)

    assert desk.verify("slack") == 1
    assert "nothing of Slack is read into the warehouse (connector slack)" in desk.warned
    assert desk.verify("airbyte") == 1
    assert "Airbyte is loaded by another tool" in desk.warned


def test_every_warehouse(warehouse_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Rows are found by their keys and compared by their types, wherever they are; a table that is gone is named."""
    desk = Desk(tmp_path, warehouse_url, capsys)
    desk.connect("Odoo", "odoo", {"base_url": "http://127.0.0.1:9", "database": "odoo", "username": "a"}, "api_key")
    desk.deliver("odoo", "update", "product", BEFORE, None, id=1, name="A", price="1.50", sale_ok="true")
    desk.deliver("odoo", "update", "product", BEFORE, None, id=2, name="A", price="1.60", sale_ok=False)
    desk.bring("odoo", "product", {"id": 1, "name": "A", "list_price": 1.5, "sale_ok": True, "updated_at": at(BEFORE)})
    desk.bring("odoo", "product", {"id": 2, "name": "A", "list_price": 1.6, "sale_ok": True, "updated_at": at(AFTER)})
    desk.refreshed("odoo", NOON)

    code, (line, summary) = desk.told("odoo")

    assert (code, summary["records"]["same"]) == (3, 1)
    assert (line["verdict"], line["fields"]["sale_ok"]["sent"], list(line["fields"])) == ("changed", False, ["sale_ok"])
    assert line["changed_at"] == at(AFTER).isoformat()
    desk.deliver("odoo", "update", "contact", BEFORE, None, id=1, name="A")
    assert desk.verify("odoo") == 1
    assert "contact" in desk.warned
    desk.close()
