"""What was delivered, refreshed and verified, each by its real part, against the sandbox of each vendor."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from connectors import registry
from connectors.connections.store import Connections
from connectors.contract import Delivered
from connectors.sandbox.faults import Faults
from connectors.sandbox.server import Sandbox
from connectors.sandbox.xero.wires import Xero
from tests.connectors.sandbox_thread import running
from tests.worker.refresher.verify.desk import KEY, Desk
from topics.event import codec
from topics.event.event import Event, Operation
from topics.event.result import Result, pack
from topics.names import DEFAULT
from worker.refresher.job import Job
from worker.refresher.sync.run import Run


class Vendor:
    """One connection to the sandbox: its worker, its refresher, and ``verify``."""

    def __init__(self, desk: Desk, sandbox: Sandbox, connector: str, folder: Path, name: str = "") -> None:
        self.desk, self.sandbox, self.connector, self.name = desk, sandbox, connector, name or connector
        self.settings = desk.settings.model_copy(update={"sync_folder": folder})
        self.connections = Connections(desk.engine, KEY, check=registry.check)

    def connect(self, settings: Mapping[str, Any], **secrets: str) -> None:
        known = {"base_url": self.sandbox.url, "allow_private_addresses": True, **settings}
        self.connections.add(self.name, self.connector, settings=known, secrets=secrets, limits={"rate": 1_000})
        self.desk.log.ensure_topics([DEFAULT.events_spec(self.name)])

    def deliver(self, operation: str, kind: str, **fields: Any) -> str:
        """An event through the connector; its outcome in the ledger. What the vendor calls the record."""
        event = Event(operation=Operation(operation), connection=self.name, object=kind, fields=fields)
        (verdict,) = asyncio.run(self._delivered(event))
        assert isinstance(verdict, Delivered), verdict
        desk, topic = self.desk, DEFAULT.events_topic(self.name)
        place = desk._producer.send(topic, **codec.encode(event)._asdict()).result(10)
        result = Result(
            event.id, "delivered", self.name, kind, operation, None, topic, 0, place.offset, 1, time.time(), verdict.id
        )
        desk._producer.send(DEFAULT.results, key=None, value=pack([result])).result(10)
        return str(verdict.id)

    async def _delivered(self, event: Event) -> list[Any]:
        connection = self.connections.get(self.name)
        secrets = self.connections.secrets(connection)
        connector = registry.build(connection, secrets, tokens=self.connections.tokens(connection, secrets))
        try:
            return [*await connector.deliver([event])]
        finally:
            await connector.close()

    def refresh(self, *kinds: str) -> dict[str, int]:
        """The rows that came, by kind."""
        run = Run(self.settings, self.connections, time.time, lambda *_: None)
        began = time.time()
        rows = run.do(Job(connection=self.name, objects=list(kinds), full=False, run="test"))
        self.desk.refreshed(self.name, began, *kinds)
        return rows

    def verified(self) -> dict[str, tuple[str, dict[str, Any]]]:
        _, (*lines, _) = self.desk.told(self.name)
        return {line["record"]: (line["verdict"], line["fields"]) for line in lines}


def written(event: Event) -> tuple[str, str, str | None, dict[str, Any]]:
    return event.operation, event.object, event.key, event.fields


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setenv("RUNTIME__DLTHUB_TELEMETRY", "false")
    made = Desk(tmp_path, f"sqlite:///{tmp_path}/warehouse.db", capsys)
    yield made
    made.close()


def test_salesforce(desk: Desk, tmp_path: Path) -> None:
    """Friendly objects, sObjects by their own names, whatever the case of a field; what differs is sent again."""
    with running(Sandbox(latency=0)) as sandbox:
        vendor = Vendor(desk, sandbox, "salesforce", tmp_path)
        vendor.connect({"unique": {"Invoice__c": "Number__c"}, "refresh_objects": ["Invoice__c"]}, access_token="t")
        person = vendor.deliver("add", "contact", name="John van Damme", email="John@acme.com")
        vendor.deliver("update", "Contact", Id=person, phone="1")
        bill = vendor.deliver("upsert", "Invoice__c", searchfield="number__c", searchterm="7", Total__c=12.5)
        gone = vendor.deliver("add", "lead", name="A B", company="C")
        vendor.deliver("delete", "lead", id=gone)
        assert vendor.refresh("contact", "invoice__c", "lead") == {"contact": 1, "invoice__c": 1, "lead": 0}
        assert desk.verify("salesforce") == 0, desk.said
        assert desk.said == "3 records of salesforce, by 5 delivered events: 3 as sent\n"
        assert "nobody compared" not in desk.warned
        sandbox.salesforce.org.records["Invoice__c"][bill]["Total__c"] = 13
        sandbox.salesforce.org.update("Contact", person, {"Phone": "2"}, time.time() + 60)
        vendor.refresh("contact", "invoice__c")
        assert vendor.verified() == {
            person: ("changed", {"phone": {"sent": "1", "found": "2"}}),
            bill: ("different", {"Total__c": {"sent": 12.5, "found": 13.0}}),
        }
        assert desk.verify("salesforce", "--resend", "--overwrite", "--yes") == 0

    assert [written(event) for event in desk.sent("salesforce")[5:]] == [
        ("update", "contact", person[:15], {"id": person, "phone": "1"}),
        ("update", "invoice__c", bill[:15], {"id": bill, "Total__c": 12.5}),
    ]


def test_google_sheets(desk: Desk, tmp_path: Path) -> None:
    """A row is found by its key column, wherever it stands by now and however the warehouse calls the column."""
    with running(Sandbox(latency=0)) as sandbox:
        vendor = Vendor(desk, sandbox, "google_sheets", tmp_path, "sheets")
        settings = {"spreadsheet_id": "sandbox", "unique": {"Leads": "E Mail"}, "refresh_sheets": ["Leads"]}
        vendor.connect(settings, access_token="t")
        for name in "abc":
            vendor.deliver("add", "Leads", **{"E Mail": f"{name}@x.com", "Full Name": name, "amount": 1.5, "vip": True})
        vendor.deliver("update", "Leads", **{"e mail": "b@x.com", "Full Name": "B"})
        vendor.deliver("upsert", "Leads", searchfield="E Mail", searchterm="c@x.com", vip=None)
        vendor.deliver("delete", "Leads", **{"E Mail": "a@x.com"})
        assert vendor.refresh("Leads") == {"Leads": 2}
        assert desk.verify("sheets") == 0, desk.said
        assert desk.said == "3 records of sheets, by 6 delivered events: 3 as sent\n"
        book = sandbox.google_sheets.books["sandbox"]
        book.write("Leads!B2", [["theirs"]], entered=False)
        vendor.refresh("Leads")
        assert vendor.verified() == {"b@x.com": ("different", {"Full Name": {"sent": "B", "found": "theirs"}})}
        assert desk.verify("sheets", "--resend", "--yes") == 0

    assert written(desk.sent("sheets")[-1])[3] == {"E Mail": "b@x.com", "Full Name": "B"}


def test_xero(desk: Desk, tmp_path: Path) -> None:
    """Through the refresh token that each use replaces; the id goes by another name, and the vendor adds members."""
    clients = {"app": "s3cret"}
    with running(Sandbox(latency=0, xero=Xero(Faults(), clients=clients))) as sandbox:
        vendor = Vendor(desk, sandbox, "xero", tmp_path)
        sandbox.xero.identity.refresh_tokens["first"] = "app"
        settings = {"client_id": "app", "token_url": f"{sandbox.url}/connect/token"}
        vendor.connect(settings, client_secret="s3cret", refresh_token="first")
        person = vendor.deliver("add", "contact", name="Acme", email="books@acme.com", number="C-1")
        line = {"Description": "1000 chairs", "Quantity": 1000, "UnitAmount": 25.5, "AccountCode": "200"}
        bill = vendor.deliver(
            "add",
            "invoice",
            number="INV-1",
            contact={"Name": "Acme"},
            lines=[line],
            date="2026-01-31",
            due_date="2026-02-28",
        )
        vendor.deliver("update", "invoice", id=bill, reference="better")
        assert vendor.refresh("contact", "invoice") == {"contact": 1, "invoice": 1}
        assert desk.verify("xero") == 0, desk.said
        assert desk.said == "2 records of xero, by 3 delivered events: 2 as sent\n"
        vendor.deliver("update", "invoice", id=bill, lines=[{**line, "Quantity": 10}])
        vendor.deliver("update", "contact", id=person, name="Acme Ltd")
        assert vendor.refresh("contact", "invoice") == {"contact": 1, "invoice": 1}
        assert desk.verify("xero") == 0, desk.said
        (kept,) = sandbox.xero.identity.refresh_tokens

    assert vendor.connections.secrets(vendor.connections.get("xero"))["refresh_token"] == kept
