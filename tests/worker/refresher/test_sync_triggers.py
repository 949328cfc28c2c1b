"""A refresh of a table that has a trigger: what it loads is not sent back."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import make_url, text

from tests.worker.refresher.json_server import Api, serving
from tests.worker.refresher.sync_rig import Rig
from topics.event.event import Operation
from topics.outbox.definition import TableName, Trigger
from topics.outbox.engine import open_engine
from topics.outbox.outbox import Outbox
from topics.warehouse import warehouse_url
from worker.refresher.sync.silent import silent_sqlite

RESOURCES = {"partner": {"all": {"path": "/partner", "records": "items"}}}


@pytest.fixture
def api() -> Iterator[Api]:
    with serving() as one:
        one.lists = {"partner": [{"id": "1", "name": "Ada"}, {"id": "2", "name": "Bob"}]}
        yield one


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_what_a_refresh_loads_fires_no_trigger(
    api: Api, tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    """Changed, new and deleted rows of two refreshes make no event; a change by anybody else makes one."""
    sqlite = kind == "sqlite"
    warehouse = f"sqlite:///{tmp_path}/dw.db" if sqlite else request.getfixturevalue("postgres_url")
    holder = f"sqlite:///{tmp_path}/dw__erp.db" if sqlite else warehouse
    schema = None if sqlite else "erp"
    rig = Rig(tmp_path, warehouse)
    rig.connect("Erp", "http", {"base_url": api.url, "resources": RESOURCES})
    assert rig.sync("Erp").status == "ok"
    engine = open_engine(warehouse_url(holder))
    outbox = Outbox(engine)
    outbox.create(
        Trigger(
            name="back",
            table=TableName(schema_name=schema, name="partner"),
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
        table = "partner" if sqlite else "erp.partner"
        connection.execute(text(f"UPDATE {table} SET name = 'Grace' WHERE id = '1'"))
    assert outbox.backlog()[0] == 1
    engine.dispose()


def test_nobody_else_sees_that_a_refresh_loads(tmp_path: Path) -> None:
    """The guard is in the loader's own transaction: gone with its end, its rollback, and with its process."""
    file = tmp_path / "dw.db"
    with sqlite3.connect(file) as other:
        other.execute("CREATE TABLE partner (id TEXT)")
        other.execute("CREATE TABLE writeback_loading (since TEXT NOT NULL)")
        other.execute("CREATE TABLE fired (id TEXT)")
        other.execute(
            "CREATE TRIGGER t AFTER INSERT ON partner WHEN NOT EXISTS (SELECT 1 FROM writeback_loading)"
            " BEGIN INSERT INTO fired VALUES (new.id); END"
        )
    engine = silent_sqlite(make_url(f"sqlite:///{file}"))
    insert = text("INSERT INTO main.partner VALUES (:id)")

    def found(table: str) -> list[str]:
        return [row[0] for row in other.execute(f"SELECT * FROM {table}")]

    with engine.connect() as loader:
        loader.execute(insert, {"id": "a"})
        loader.execute(insert, {"id": "b"})
        assert found("writeback_loading") == []
        loader.commit()
        loader.execute(insert, {"id": "rolled back"})
        loader.rollback()
        loader.execute(insert, {"id": "c"})
        loader.commit()
    assert (found("partner"), found("writeback_loading"), found("fired")) == (["a", "b", "c"], [], [])
    with other:
        other.execute("INSERT INTO partner VALUES ('d')")
    assert found("fired") == ["d"]
    other.close()
