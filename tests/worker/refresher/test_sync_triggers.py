"""A refresh of a table that has a trigger: what it loads is not sent back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.worker.refresher.json_server import Api, serving
from tests.worker.refresher.sync_rig import Rig
from topics.event.event import Operation
from topics.outbox.definition import TableName, Trigger
from topics.outbox.engine import open_engine
from topics.outbox.outbox import Outbox
from topics.warehouse import warehouse_url

RESOURCES = {"partner": {"all": {"path": "/partner", "records": "items"}}}


@pytest.fixture
def api() -> Iterator[Api]:
    with serving() as one:
        one.lists = {"partner": [{"id": "1", "name": "Ada"}, {"id": "2", "name": "Bob"}]}
        yield one


@pytest.mark.postgres
def test_what_a_refresh_loads_fires_no_trigger(api: Api, tmp_path: Path, postgres_url: str) -> None:
    """Changed, new and deleted rows of two refreshes make no event; a change by anybody else makes one."""
    rig = Rig(tmp_path, postgres_url)
    rig.connect("Erp", "http", {"base_url": api.url, "resources": RESOURCES})
    assert rig.sync("Erp").status == "ok"
    engine = open_engine(warehouse_url(postgres_url))
    outbox = Outbox(engine)
    outbox.create(
        Trigger(
            name="back",
            table=TableName(schema_name="erp", name="partner"),
            connection="crm",
            object="contact",
            operations={"insert": Operation.UPSERT, "update": Operation.UPSERT, "delete": Operation.DELETE},
            key=("id",),
            fields={"name": "name"},
        )
    )
    api.lists["partner"] = [{"id": "1", "name": "Ada Lovelace"}, {"id": "3", "name": "Cy"}]
    second = rig.sync("Erp")
    assert (second.status, second.rows) == ("ok", {"partner": 2}), second.detail
    assert {row["name"] for row in rig.rows("erp", "partner")} >= {"Ada Lovelace", "Cy"}
    assert outbox.backlog()[0] == 0

    with engine.begin() as connection:
        connection.execute(text("UPDATE erp.partner SET name = 'Grace' WHERE id = '1'"))
    assert outbox.backlog()[0] == 1
    engine.dispose()
