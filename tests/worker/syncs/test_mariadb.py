"""A sync whose rows are in MariaDB, on a real server: its order of texts, its types, and what it lets us forbid."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.worker.syncs.conftest import World, sync_of
from worker.syncs.errors import SourceFailed
from worker.syncs.source.statement import Rows
from worker.syncs.source.warehouse import Warehouse

pytestmark = pytest.mark.mariadb

ORDERS = "CREATE TABLE orders (code VARCHAR(20) PRIMARY KEY, total DECIMAL(12, 4), changed DATETIME(6))"


@pytest.fixture
def world(tmp_path: Path, mariadb_url: str) -> Iterator[World]:
    made = World(tmp_path, mariadb_url)
    made.write(ORDERS)
    yield made
    made.close()


def test_only_what_changed(world: World) -> None:
    """By a number, and by a text that MariaDB orders without regard to case; from a table and from a query."""
    world.people(1, 3)
    assert world.run(sync_of()).run.sent == 3
    world.write("UPDATE people SET age = 50 WHERE id = 2", "DELETE FROM people WHERE id = 3")
    changed = world.run(sync_of()).run
    assert (changed.unchanged, changed.changed, changed.removed) == (1, 1, 1)

    world.write(
        "INSERT INTO orders VALUES ('b', 1.5, '2026-03-01 10:00:00'), ('A', 2, NULL), ('C', 0.1, NULL), ('ö', 3, NULL)"
    )
    query = "SELECT code, total, changed FROM orders WHERE total > 0 -- 100 % of them: all"
    sync = sync_of(name="orders", table=None, query=query, key="code", map={"code": "email", "total": "n"})
    first = world.run(sync).run
    world.events()
    world.write("UPDATE orders SET total = 2.5 WHERE code = 'A'")
    second = world.run(sync).run
    assert (first.sent, second.unchanged, second.changed) == (4, 3, 1)
    assert [event.fields for event in world.events()] == [{"email": "A", "n": Decimal("2.5000")}]


def test_a_cursor_of_times(world: World) -> None:
    """Rows of the same moment are all seen, and those that come in late."""
    sync = sync_of(
        name="orders", table="orders", key="code", mode="cursor", cursor="changed", map={"code": "email", "total": "n"}
    )
    world.write("INSERT INTO orders VALUES ('a', 1, '2026-03-01 10:00:00'), ('b', 1, '2026-03-01 10:00:00')")
    assert world.run(sync).run.sent == 2
    world.write("INSERT INTO orders VALUES ('c', 1, '2026-03-01 10:00:00'), ('d', 1, '2026-03-01 09:55:00')")
    again = world.run(sync).run
    assert (again.read, again.sent) == (4, 2)


def test_it_only_reads_and_not_for_ever(world: World) -> None:
    """The session is read-only, and a statement that takes too long is ended by the server."""
    warehouse = Warehouse(world.warehouse, timeout=0.2)
    with (
        pytest.raises(SourceFailed, match="READ ONLY transaction"),
        warehouse._connected(Rows(warehouse.dialect, "SELECT 1")) as connection,
    ):
        connection.execute(text("DELETE FROM orders"))
    slow = Rows(warehouse.dialect, "SELECT SLEEP(3) AS n")
    with pytest.raises(SourceFailed, match="max_statement_time"):
        list(warehouse.chunks(slow, slow.select(["n"], ["n"])))
