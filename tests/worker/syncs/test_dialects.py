"""The SQL of warehouses that no test can reach: made by their own dialects, and read by sqlglot as they would."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import sqlglot
from sqlalchemy import Column, DateTime, Dialect, Integer, MetaData, String, Table, delete, insert, update
from sqlalchemy.dialects import registry
from sqlalchemy.exc import NoSuchModuleError
from sqlalchemy.schema import CreateTable

from topics.outbox.definition import TableName
from worker.syncs.source.statement import Rows

DIALECTS = {
    "postgresql.psycopg": "postgres",
    "sqlite": "sqlite",
    "duckdb": "duckdb",
    "mysql.pymysql": "mysql",
    "mssql.pymssql": "tsql",
    "snowflake": "snowflake",
    "bigquery": "bigquery",
    "redshift.psycopg2": "redshift",
    "databricks": "databricks",
}
"""SQLAlchemy's name of a dialect, and sqlglot's."""

NAME = "order"
"""Of a column: a word of its own to every database."""
QUERY = "SELECT id, 'a:b%' AS email, changed FROM shop.customer WHERE id > 1; -- those that are new"


@pytest.fixture(params=DIALECTS)
def named(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def dialect(named: str) -> Dialect:
    try:
        made: Dialect = registry.load(named)()
    except (NoSuchModuleError, ImportError) as error:
        pytest.skip(f"pip install 'writeback[{named.partition('.')[0]}]': {error}")
    return made


def sql_of(statement: Any, dialect: Dialect) -> str:
    """As the driver sends it, with its values in it."""
    said = str(statement.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))
    return said.replace("%%", "%") if dialect.paramstyle in {"format", "pyformat"} else said


def parsed(sql: str, named: str) -> Any:
    return sqlglot.parse_one(sql, read=DIALECTS[named])


@pytest.mark.parametrize("rows", [{"query": QUERY}, {"table": TableName(name="customer", schema_name="shop")}])
def test_what_a_sync_reads(named: str, dialect: Dialect, rows: dict[str, Any]) -> None:
    """The columns that are asked for, from the cursor on, by the key; and the question which columns there are."""
    source = Rows(dialect.name, **rows)
    chosen = source.select(["id", "email", "changed"], ["id", "email"], texts={"email"}, cursor=("changed", 5))
    made = parsed(sql_of(chosen, dialect), named)

    assert [column.name for column in made.expressions] == ["id", "email", "changed"]
    assert [one.find(sqlglot.exp.Column).name for one in made.args["order"].expressions] == ["id", "email"]
    assert made.args["where"].find(sqlglot.exp.GTE).expression.this == "5"
    assert {table.name for table in made.find_all(sqlglot.exp.Table)} == {"customer"}
    look = parsed(sql_of(source.look(), dialect), named)
    assert (look.is_star, look.args["where"].find(sqlglot.exp.EQ) is not None) == (True, True)


def test_names_that_are_words_of_the_database(named: str, dialect: Dialect) -> None:
    """Are quoted in its own way."""
    source = Rows(dialect.name, table=TableName(name=NAME, schema_name="select"))
    made = parsed(sql_of(source.select([NAME, "Two Words"], [NAME]), dialect), named)

    assert [column.name for column in made.expressions] == [NAME, "Two Words"]


def test_a_cursor_of_times_is_a_parameter(dialect: Dialect) -> None:
    """The driver writes it: a time is of the kind that the column has."""
    chosen = Rows(dialect.name, QUERY).select(["id"], ["id"], cursor=("id", datetime(2026, 1, 1, tzinfo=UTC)))
    made = chosen.compile(dialect=dialect)

    assert list(made.params) == ["writeback_cursor"]


def test_what_pq_writes(named: str, dialect: Dialect) -> None:
    """``pq.dbconnect(...)``: a table that is made, and rows that are put in, changed and deleted."""
    columns: list[Column[Any]] = [
        Column("id", Integer, primary_key=True, autoincrement=False),
        Column(NAME, String(255)),
    ]
    columns.append(Column("changed", DateTime(timezone=True)))
    table = Table("customer", MetaData(), *columns, schema="shop")
    statements = [
        (CreateTable(table), sqlglot.exp.Create),
        (insert(table).values({"id": 1, NAME: "x"}), sqlglot.exp.Insert),
        (update(table).where(table.c.id == 1).values({NAME: "y"}), sqlglot.exp.Update),
        (delete(table).where(table.c.id == 1), sqlglot.exp.Delete),
    ]
    for statement, kind in statements:
        made = parsed(sql_of(statement, dialect), named)
        assert isinstance(made, kind)
        assert {one.name for one in made.find_all(sqlglot.exp.Table)} == {"customer"}
