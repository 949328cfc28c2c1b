"""Salesforce in the warehouse: the real sync, as a process, from the sandbox into SQLite."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from connectors.sandbox.server import Sandbox
from tests.connectors.sandbox_thread import running
from tests.worker.refresher.sync_rig import Rig

LONG_AGO = 1_700_000_000.0


def test_from_the_first_refresh_to_the_deleted_record(tmp_path: Path) -> None:
    """Every field under a name of the warehouse's, typed; then what has changed, without what was deleted."""
    with running(Sandbox(latency=0.0)) as sandbox:
        rig = Rig(tmp_path, f"sqlite:///{tmp_path}/warehouse.db")
        rig.connect("Salesforce", "salesforce", {"base_url": sandbox.url, "refresh_objects": ["Invoice__c"]})
        org = sandbox.salesforce.org
        deals = [
            org.create("Opportunity", {"Name": name, "StageName": "Prospecting", "CloseDate": "2026-12-31"}, LONG_AGO)
            for name in ("kept", "gone")
        ]
        org.create("Invoice__c", {"Number__c": "7", "Total__c": 12.5, "Paid__c": True}, LONG_AGO)
        first = rig.sync("Salesforce", "opportunity", "invoice__c")
        invoices = rig.rows("salesforce", "invoice__c")
        org.update("Opportunity", deals[0], {"Amount": 99.5}, LONG_AGO + 86_400)
        org.delete("Opportunity", deals[1], LONG_AGO + 86_400)
        second = rig.sync("Salesforce", "opportunity")
        (deal,) = rig.rows("salesforce", "opportunity")

    assert (first.status, first.rows) == ("ok", {"opportunity": 2, "invoice__c": 1}), first.detail
    assert [(row["number__c"], row["total__c"], row["paid__c"]) for row in invoices] == [("7", 12.5, True)]
    assert second.status == "ok", second.detail
    assert (deal["id"], deal["name"], deal["amount"]) == (deals[0], "kept", 99.5)
    assert deal["system_modstamp"] == datetime.fromtimestamp(LONG_AGO + 86_400, UTC).replace(tzinfo=None)
