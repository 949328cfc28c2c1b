"""The parts of a sync that need no database: when it is due, its order, its cursor, its guards, its SQL."""

from __future__ import annotations

from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest
from sqlalchemy.dialects import mssql, mysql, postgresql, sqlite

from tests.worker.syncs.conftest import sync_of
from topics.outbox.definition import TableName
from worker.syncs.due import following, latest
from worker.syncs.plan.guard import trips
from worker.syncs.plan.maker import Counts
from worker.syncs.source import cursor, ordering
from worker.syncs.source.ordering import DuplicateKey, WrongOrder, check, less, sorted_here, up_to
from worker.syncs.source.statement import Rows


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("schedule", "before", "now", "due"),
    [
        ("every 15m", None, "2026-03-01 10:00", "2026-03-01 10:00"),
        ("every 15m", "2026-03-01 10:00", "2026-03-01 10:14", None),
        ("every 15m", "2026-03-01 10:00", "2026-03-01 11:07", "2026-03-01 11:00"),
        ("0 6 * * *", None, "2026-03-01 10:00", None),
        ("0 6 * * *", "2026-02-27 10:00", "2026-03-01 10:00", "2026-03-01 05:00"),
        ("0 6 * * *", "2026-03-01 05:00", "2026-03-01 10:00", None),
        ("0 6 * * *", "2026-02-28 05:00", "2026-03-01 05:00", "2026-03-01 05:00"),
    ],
)
def test_what_is_due(schedule: str, before: str | None, now: str, due: str | None) -> None:
    """However many moments were missed, the latest stands for all; six in Berlin is five in UTC."""
    sync = sync_of(schedule=schedule, timezone="Europe/Berlin")
    found = latest(sync, at(now), None if before is None else at(before))
    assert found == (None if due is None else at(due))


def test_what_is_due_next() -> None:
    """After the next moment in the sync's time zone, summer time and all."""
    sync = sync_of(schedule="0 6 * * *", timezone="Europe/Berlin")
    assert following(sync, at("2026-03-28 12:00"), None) == at("2026-03-29 04:00")
    assert following(sync_of(), 0.0, None) is None


def test_keys_are_merged_in_one_order() -> None:
    """Numbers, then texts by code point; an order that is another's, and a key that comes twice, are noticed."""
    assert less(2, 10)
    assert less(10, "1")
    assert less("Z", "a")
    assert up_to([1, 3, 5, "a"], 4) == 2
    check([1, 2, 9], None)
    check([3, "a"], 2)
    with pytest.raises(WrongOrder):
        check(["a", "B"], None)
    with pytest.raises(DuplicateKey):
        check([2, 3], 2)


def test_rows_are_sorted_here_where_the_database_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    """From files, a few rows in memory at once; also where they are of several kinds."""
    monkeypatch.setattr(ordering, "RUN", 10)
    rows: list[tuple[Any]] = [(n,) for n in range(45)] + [(f"k{n}",) for n in range(10, 30)]
    mixed = rows.copy()
    Random(1).shuffle(mixed)
    chunks = [mixed[start : start + 7] for start in range(0, len(mixed), 7)]
    parts = list(sorted_here(chunks, lambda row: row[0], 20))
    assert [row for part in parts for row in part] == rows
    assert [len(part) for part in parts] == [20, 20, 20, 5]


@pytest.mark.parametrize(
    ("value", "late", "start"),
    [
        (datetime(2026, 3, 1, 10, tzinfo=UTC), "10m", datetime(2026, 3, 1, 9, 50, tzinfo=UTC)),
        ("2026-03-01 10:00:00", "10m", "2026-03-01 09:50:00"),
        ("2026-03-01T10:00:00.5Z", "1h", "2026-03-01T09:00:00.500000Z"),
        ("no time", "10m", "no time"),
        (500, "10m", 500),
        (500, 20, 480),
    ],
)
def test_the_cursor_goes_back_as_far_as_rows_may_be_late(value: Any, late: Any, start: Any) -> None:
    """A time as text is written as it was; a number goes back by a number."""
    assert cursor.start(cursor.kept(value), late) == start


@pytest.mark.parametrize(
    ("kinds", "nulls", "said"),
    [
        ({"added": 90, "changed": 100}, {}, ""),
        ({"added": 101, "changed": 100}, {}, "201 of 1,000 rows would be sent (max_changes: more than 20%"),
        ({"removed": 51}, {}, "51 of 1,000 records would be removed"),
        ({"changed": 120}, {"age": 101}, "age would become empty in 101 of 1,000 rows"),
    ],
)
def test_guards(kinds: dict[str, int], nulls: dict[str, int], said: str) -> None:
    """By default more than a fifth and more than 100 changes, a twentieth removed, a tenth emptied."""
    counts = Counts(read=1_000)
    counts.kinds.update(kinds)
    counts.nulls.update(nulls)
    found = "; ".join(trips(sync_of(mode="mirror"), counts, 1_000))
    assert found.startswith(said)
    assert bool(found) == bool(said)
    assert list(trips(sync_of(mode="mirror"), counts, 0)) == []


def test_an_empty_query_removes_nothing_unasked() -> None:
    """Also from a small table, where the share alone would let it pass."""
    counts = Counts(read=0)
    counts.kinds.update({"removed": 3})
    assert "the query has no rows" in next(trips(sync_of(mode="mirror"), counts, 3))


@pytest.mark.parametrize(
    ("name", "dialect", "said"),
    [
        ("postgresql", postgresql.dialect, 'ORDER BY rows_of_sync.email COLLATE "C"'),
        ("sqlite", sqlite.dialect, "ORDER BY rows_of_sync.email"),
        ("mysql", mysql.dialect, "ORDER BY rows_of_sync.email"),
        ("mssql", mssql.dialect, "ORDER BY rows_of_sync.email"),
    ],
)
def test_the_sql_of_each_database(name: str, dialect: Any, said: str) -> None:
    """The query is taken as it stands, colons and percent signs too, and is asked from the cursor on."""
    rows = Rows(name, "SELECT email, at::date FROM t WHERE x LIKE 'a:b%' ;")
    made = dialect()
    sql = str(rows.select(["email", "at"], ["email"], texts={"email"}, cursor=("at", 5)).compile(dialect=made))
    assert said in sql
    assert "at::date FROM t WHERE x LIKE 'a:b%" in sql
    assert sql.count("rows_of_sync.at >=") == 1
    table = Rows(name, table=TableName(name="select", schema_name="s"))
    assert "select" in str(table.select(["a"], ["a"]).compile(dialect=made))


@pytest.mark.parametrize(
    ("query", "taken"),
    [
        ("SELECT 1 ; ", "SELECT 1"),
        ("SELECT 1; -- all of them; really", "SELECT 1 -- all of them; really"),
        ("SELECT 1 /* ; */ ;;\n/* end; */", "SELECT 1 /* ; */ \n/* end; */"),
        ("SELECT ';' AS a, 'it''s; -- so' AS b", "SELECT ';' AS a, 'it''s; -- so' AS b"),
        ("SELECT 1; SELECT 2", "SELECT 1; SELECT 2"),
    ],
)
def test_a_query_ends_without_its_semicolon(query: str, taken: str) -> None:
    """It becomes a subquery; what is a text or a comment stays, and a second statement is the database's to refuse."""
    assert f"({taken}\n)" in str(Rows("sqlite", query).select(["a"], ["a"]))
