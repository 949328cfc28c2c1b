"""The brief's own lines, cut out of its document and not changed: from a script to the applications and back.

``seed/*.txt`` are its code blocks. What the document takes for granted stands before them: imports, ``st``, and the
connections of its first two lines. The loop goes before the lines that wait for the refresh, as the brief advises.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from connectors import registry
from connectors.connections.store import Connections
from connectors.sandbox.odoo.database import Database
from connectors.sandbox.server import Sandbox
from pq.warehouse.database import Database as Warehouse
from tests.connectors.sandbox_thread import running
from tests.tools.forked import ForkedStage
from topics.store import open_store
from topics.warehouse import open_warehouse, warehouse_url
from worker.demo.stage import Stage

KEY = "a long random text for tests"
SEED = Path(__file__).parent / "seed"
BEFORE = """\
import pq, types
st = types.SimpleNamespace(text=print)
hubspot_api = pq.connect("Hubspot")
slack_api = pq.connect("Slack")
"""


def script() -> str:
    return BEFORE + "\n".join(
        (SEED / f"{name}.txt").read_text(encoding="utf-8") for name in ("alerts", "writes", "loop", "refresh")
    )


def put(odoo: Database, model: str, number: int, **values: Any) -> None:
    """A record of that number."""
    record = odoo.records[model].pop(odoo.do_create(model, values)) | {"id": number}
    odoo.records[model][number] = record


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with running(Sandbox(latency=0.0)) as one:
        odoo = one.odoo.database
        put(odoo, "product.template", 456, name="Old")
        put(odoo, "product.template", 1, name="Table")
        put(odoo, "product.template", 2, name="Chair")
        put(odoo, "account.move", 123, move_type="out_invoice")
        yield one


def prepare(stage: Stage, sandbox: Sandbox) -> None:
    """Three connections, Odoo's the number 789, and a table of the warehouse to loop over."""
    store = open_store(f"sqlite:///{stage.folder}/store.db")
    connections = Connections(store, KEY, check=registry.check)
    private = {"allow_private_addresses": True}
    for name, base in (("Hubspot", sandbox.url), ("Slack", f"{sandbox.url}/api")):
        connections.add(name, name.lower(), settings={"base_url": base, **private}, secrets={"access_token": "t"})
    odoo = {"base_url": sandbox.url, "database": "odoo", "username": "admin", **private}
    connections.add("Odoo", "odoo", settings=odoo, secrets={"api_key": "k"})
    with store.begin() as transaction:
        transaction.execute(text("UPDATE connections SET id = 789 WHERE slug = 'odoo'"))
    store.dispose()
    warehouse = Warehouse("dw", open_warehouse(warehouse_url(f"sqlite:///{stage.folder}/warehouse.db")))
    warehouse.write("schema_name", "table_name", [{"id": 1, "name": "Desk"}, {"id": 2, "name": "Stool"}], pk="id")
    warehouse.close()


@pytest.mark.acceptance
@pytest.mark.timeout(240)
def test_the_lines_of_the_brief(sandbox: Sandbox, tmp_path: Path) -> None:
    """Each arrives, the result prints as the dict it was, and after one refresh the warehouse has what was written."""
    with ForkedStage(tmp_path, env={"WRITEBACK_SECRET_KEY": KEY}) as stage:
        prepare(stage, sandbox)
        working = stage.worker("up")
        assert stage.script(script(), name="script").wait(120) == 0, (tmp_path / "script.log").read_text()
        runs = stage.json("refreshes", "Odoo")
        verified = stage.writeback("verify", "Odoo").stdout
        products = stage.warehouse_rows("odoo", "product")
        (invoice,) = stage.warehouse_rows("odoo", "invoice")
        assert stage.stop(working) == 0
        said = (tmp_path / "script.out").read_text()

    (contact,) = [record.properties for record in sandbox.hubspot.portal.records["contacts"].values()]
    assert (contact["email"], contact["firstname"], contact["lastname"]) == ("john@acme.com", "John", "Doe")
    channel = sandbox.slack.workspace.find("qa")
    assert channel is not None
    assert [message["text"] for message in channel.messages.values()] == ["Data quality alert"]
    assert ast.literal_eval(said.removeprefix("Result: "))["status"] == "success"
    odoo = sandbox.odoo.database.records
    assert odoo["account.move"][123]["narration"] == "..."
    assert (runs[-1]["state"], runs[-1]["requests"], runs[-1]["pending_writes"]) == ("ok", 2, 0)
    assert {(row["name"], row["list_price"]) for row in products} == {
        ("Desk", 1.0),
        ("Stool", 1.0),
        ("My product", 100.05),
    }
    assert (invoice["id"], invoice["payment_state"]) == (123, "in_payment")
    assert verified == "5 records of odoo, by 6 delivered events: 5 as sent\n"
