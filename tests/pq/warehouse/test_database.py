"""The warehouse in single lines, on each database that runs here."""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import polars as pl
import pytest

import pq
from pq.warehouse import database
from pq.warehouse.database import Database

PRODUCTS = [{"id": 1, "name": "Chair"}, {"id": 2, "name": "Table"}, {"id": 3, "name": None}]


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A script's environment, and no warehouse left open."""
    for name in list(os.environ):
        if name.startswith("WRITEBACK_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    yield
    for opened in database._open.values():
        opened.close()
    database._open.clear()


@pytest.fixture
def shop(warehouse_url: str, monkeypatch: pytest.MonkeyPatch) -> Database:
    """A warehouse with the table shop.product."""
    monkeypatch.setenv("WRITEBACK_WAREHOUSE", warehouse_url)
    opened = pq.dbconnect(pq.DW_NAME)
    opened.write("shop", "product", PRODUCTS, pk="id")
    return opened


def in_order(shop: Database, table: str) -> list[dict[str, Any]]:
    return sorted(shop.fetch("shop", table), key=lambda row: row["id"])


def test_the_seeds_lines(shop: Database) -> None:
    """Rows are dicts by column name, and a loop over them is a loop."""
    dbconn = pq.dbconnect(pq.DW_NAME)
    rows = dbconn.fetch(pq.DW_NAME, "shop", "product")

    assert {(row["id"], row["name"]) for row in rows} == {(1, "Chair"), (2, "Table"), (3, None)}
    assert (len(rows), rows[0] in PRODUCTS, rows == list(rows)) == (3, True, True)


def test_a_query_with_parameters(shop: Database) -> None:
    """A value is a value, whatever is in it."""
    hostile = "'; DROP TABLE shop.product; --"
    shop.insert("shop", "product", {"id": 4, "name": hostile})

    rows = shop.fetch(query="SELECT id FROM shop.product WHERE name = :name", params={"name": hostile})

    assert list(rows) == [{"id": 4}]


def test_names_are_quoted(shop: Database) -> None:
    """A table and a column may be called anything."""
    shop.write("shop", 'odd "name" here', {"order": 1, "two words": "x", 'quo"te': 2}, pk="order")
    shop.update("shop", 'odd "name" here', {"order": 1, "two words": "y"})

    assert list(shop.fetch("shop", 'odd "name" here')) == [{"order": 1, "two words": "y", 'quo"te': 2}]


def test_insert_update_delete(shop: Database) -> None:
    """Each says how many rows it was about."""
    assert shop.insert("shop", "product", [{"id": 4, "name": "Lamp"}, {"id": 5, "name": "Desk"}]) == 2
    assert shop.update("shop", "product", {"id": 4, "name": "Lamps"}) == 1
    assert shop.update("shop", "product", {"name": "gone"}, where={"id": [1, 2]}) == 2
    assert shop.update("shop", "product", {"id": 77, "name": "nobody"}) == 0
    assert shop.delete("shop", "product", id=5) == 1
    assert shop.delete("shop", "product", where={"name": None}) == 1
    assert list(shop.fetch(query="SELECT id, name FROM shop.product ORDER BY id")) == [
        {"id": 1, "name": "gone"},
        {"id": 2, "name": "gone"},
        {"id": 4, "name": "Lamps"},
    ]


def test_upsert(shop: Database) -> None:
    """By the primary key, and by another column where the database does not know that it is unique."""
    shop.upsert("shop", "product", [{"id": 1, "name": "Armchair"}, {"id": 9, "name": "Shelf"}])
    shop.upsert("shop", "product", {"id": 10, "name": "Shelf"}, pk="name")

    rows = shop.fetch(query="SELECT id, name FROM shop.product WHERE id <> 3 ORDER BY id")
    assert [tuple(row.values()) for row in rows] == [(1, "Armchair"), (2, "Table"), (10, "Shelf")]


def test_nothing_happens_to_every_row_by_mistake(shop: Database) -> None:
    """A condition that was left out is an error."""
    with pytest.raises(pq.BadField, match="say which rows"):
        shop.delete("shop", "product")
    with pytest.raises(pq.BadField, match="where is empty"):
        shop.update("shop", "product", {"name": "x"}, where={})
    with pytest.raises(pq.BadField, match="has no 'id'"):
        shop.update("shop", "product", {"name": "x"})
    assert in_order(shop, "product") == PRODUCTS


def test_a_statement_that_fails_changes_nothing(shop: Database) -> None:
    """One call is one transaction; the error names the table and says the database's own words."""
    with pytest.raises(pq.WarehouseError, match=r"insert shop\.product: .*(?i:unique|duplicate)"):
        shop.insert("shop", "product", [{"id": 7, "name": "x"}, {"id": 1, "name": "twice"}])

    assert in_order(shop, "product") == PRODUCTS


def test_execute(shop: Database) -> None:
    """Statements of any kind: the number of rows, or the rows they give back."""
    assert shop.execute("UPDATE shop.product SET name = :name WHERE id < :id", {"name": "x", "id": 3}) == 2
    assert shop.execute(pq.DW_NAME, query="SELECT count(*) AS n FROM shop.product") == [{"n": 3}]
    many = [{"id": 20, "name": "a"}, {"id": 21, "name": "b"}]
    shop.execute("INSERT INTO shop.product (id, name) VALUES (:id, :name)", many)
    assert shop.fetch(query="SELECT id FROM shop.product WHERE id >= 20 ORDER BY id") == [{"id": 20}, {"id": 21}]


def test_write_makes_what_is_missing(shop: Database) -> None:
    """A new table with typed columns, then a new column; a second write changes and adds."""
    when = datetime(2026, 11, 29, 8, 0, 0, tzinfo=UTC)
    shop.write("fresh", "order", [{"id": "a", "total": 1.5, "at": when, "paid": True, "lines": [{"n": 1}]}], pk="id")
    shop.write("fresh", "order", [{"id": "a", "total": 2.5, "note": "late"}, {"id": "b", "note": None}], pk="id")

    first, second = sorted(shop.fetch("fresh", "order"), key=lambda row: row["id"])
    assert first["at"].replace(tzinfo=UTC) == when
    assert {name: value for name, value in first.items() if name not in {"at", "lines"}} == {
        "id": "a", "total": 2.5, "paid": True, "note": "late",
    }  # fmt: skip
    assert (second["id"], second["total"], second["note"]) == ("b", None, None)


def test_write_says_what_one_column_cannot_hold(shop: Database) -> None:
    """Values of two kinds are named with their column."""
    with pytest.raises(pq.BadField, match="the column 'v' would hold whole numbers and text"):
        shop.write("shop", "mixed", [{"v": 1}, {"v": "one"}])


@pytest.mark.parametrize("kind", ["pandas", "polars"])
def test_data_frames(kind: Literal["pandas", "polars"], shop: Database) -> None:
    """Out, and in again; what a frame has no value for is NULL."""
    frame = shop.fetch("shop", "product", df=kind)

    assert isinstance(frame, pd.DataFrame if kind == "pandas" else pl.DataFrame)
    assert (list(frame.columns), len(frame)) == (["id", "name"], 3)
    shop.write("shop", "copy", frame, pk="id")
    assert in_order(shop, "copy") == PRODUCTS


def test_list_tables(shop: Database) -> None:
    """With their schemas, or those of one."""
    assert "shop.product" in shop.list_tables()
    assert shop.list_tables("shop") == ["product"]


@pytest.mark.parametrize(
    ("place", "error", "said"),
    [
        (("shop", "prodct"), pq.UnknownTable, r"no table 'shop.prodct': there are product; did you mean 'product'\?"),
        (("shp", "product"), pq.UnknownTable, r"no schema 'shp': there are .*did you mean 'shop'"),
        (("elsewhere", "shop", "product"), pq.UnknownWarehouse, r"use pq.dbconnect\('elsewhere'\)"),
        ((), pq.BadField, "say which table"),
    ],
)
def test_what_is_not_there_is_named(place: tuple[str, ...], error: type[Exception], said: str, shop: Database) -> None:
    """With what there is, and the nearest."""
    with pytest.raises(error, match=said):
        shop.fetch(*place)


def test_a_column_that_is_not_there(shop: Database) -> None:
    """Is named with its table, before anything is written."""
    with pytest.raises(pq.UnknownColumn, match=r"shop.product has no column 'nmae'; there are .*did you mean 'name'\?"):
        shop.update("shop", "product", {"id": 1, "nmae": "x"})


def test_fetch_only_reads(shop: Database) -> None:
    """A statement that would write is refused and not undone in silence."""
    with pytest.raises(pq.WarehouseError, match="fetch only reads"):
        shop.fetch(query="DELETE FROM shop.product")
    assert in_order(shop, "product") == PRODUCTS


def test_a_loop_may_write_to_its_own_table(shop: Database) -> None:
    """More rows than are here at once are read while others are written."""
    shop.write("shop", "many", [{"id": number, "n": 0} for number in range(2_500)], pk="id")

    for row in shop.fetch("shop", "many"):
        if row["id"] % 500 == 0:
            shop.update("shop", "many", {"id": row["id"], "n": 1})

    assert shop.fetch(query="SELECT sum(n) AS n FROM shop.many")[0]["n"] == 5


def test_many_rows_in_flat_memory(shop: Database) -> None:
    """Twenty thousand rows pass in the memory of a thousand; a second loop asks again."""
    rows = [{"id": number, "text": "x" * 500} for number in range(20_000)]
    shop.write("shop", "large", rows, pk="id")
    del rows
    found = shop.fetch("shop", "large")
    tracemalloc.start()
    counts = [sum(1 for _ in found) for _ in range(2)]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert counts == [20_000, 20_000]
    assert peak < 5_000_000  # all of them are 12 MB and more


def test_decimals(shop: Database) -> None:
    """A number with a fraction comes back as one."""
    shop.write("shop", "price", [{"id": 1, "price": Decimal("12.50")}], pk="id")

    assert shop.fetch("shop", "price")[0]["price"] == Decimal("12.5")


def test_further_warehouses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By name, from the environment, from the file, and by a reference to a variable."""
    monkeypatch.setenv("WRITEBACK_WAREHOUSE_FINANCE", "env:FINANCE_URL")
    monkeypatch.setenv("FINANCE_URL", f"sqlite:///{tmp_path}/finance.db")
    Path("writeback.toml").write_text(f'[warehouses]\nOps = "sqlite:///{tmp_path}/ops.db"\n')

    for name in ("finance", "ops"):
        pq.dbconnect(name).write("main", "t", {"name": name})
        assert list(pq.dbconnect(name.upper()).fetch("main", "t")) == [{"name": name}]
    with pytest.raises(pq.UnknownWarehouse, match=r"no warehouse 'finanze'; there are dw, finance, ops; did you mean"):
        pq.dbconnect("finanze")


def test_a_warehouse_that_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """Says where it is, without the password."""
    monkeypatch.setenv("WRITEBACK_WAREHOUSE", "postgresql://u:hunter2@127.0.0.1:9/dw")

    with pytest.raises(pq.WarehouseUnavailable, match=r"dw \(postgresql.*127.0.0.1:9/dw\) does not answer") as raised:
        pq.dbconnect().fetch("a", "b")
    assert "hunter2" not in str(raised.value)


def test_importing_pq_loads_no_sql() -> None:
    """A script that only writes starts at once."""
    program = "import sys, pq; print([m for m in sys.modules if m.partition('.')[0] in {'sqlalchemy', 'pandas'}])"

    said = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3]
    )

    assert said.stdout.strip() == "[]"
