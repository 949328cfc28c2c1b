"""Rows of another database, on a real PostgreSQL and on SQLite."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import make_url

from connectors.connections.table import Connection
from connectors.contract import Absent, CannotTell, Connector, Delivered, Down, Found, Rejected, Retry, Verdict
from connectors.errors import BadConnection, CallFailed, Unreachable
from connectors.registry import build, check
from tests.conformance.native import NativeContract
from tests.conformance.vendor import refused_port
from topics.event.event import Event, Operation

TABLES = """
create table customer (id integer primary key, "e-mail" varchar(40) unique, "Order" integer, since date);
create table price (sku varchar(10), country varchar(2), amount numeric(30, 10), primary key (sku, country));
create table notes (text varchar(10));
"""
KEYS = {"price": ["sku", "country"]}


class Database:
    """``url``: as a connection has it; ``password`` beside it."""

    def __init__(self, url: str, password: str | None = None) -> None:
        self.url = url
        self.password = password
        self.engine = sa.create_engine(make_url(url).set(password=password))

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with self.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(sa.text(query))]

    def run(self, statements: str) -> None:
        with self.engine.begin() as connection:
            for statement in filter(str.strip, statements.split(";")):
                connection.execute(sa.text(statement))

    def connector(self, **settings: Any) -> Connector:
        given = {"url": self.url, "keys": KEYS, "allow_private_addresses": True, "timeout_seconds": 20, **settings}
        return made(given, {"password": self.password} if self.password else {})


def made(settings: dict[str, Any], secrets: dict[str, str] | None = None) -> Connector:
    return build(Connection(1, "db", "DB", "sql", "1.0", settings, {}, {}, 1, "active", "", 1), secrets or {})


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """With a few tables; names that need quotes among their columns."""
    if request.param == "sqlite":
        (tmp_path / "other db.sqlite").touch()
        database = Database(f"sqlite:///{tmp_path}/other db.sqlite")
    else:
        url = make_url(request.getfixturevalue("postgres_url"))
        database = Database(url.set(password=None).render_as_string(), url.password)
    database.run(TABLES)
    yield database
    database.engine.dispose()


@pytest.fixture
async def connector(database: Database) -> AsyncIterator[Connector]:
    connector = database.connector()
    yield connector
    await connector.close()


def event(operation: str, table: str, **fields: Any) -> Event:
    return Event.model_validate({"operation": operation, "connection": "db", "object": table, "fields": fields})


async def deliver(connector: Connector, operation: str, table: str, *rows: dict[str, Any]) -> list[Verdict]:
    return await connector.deliver([event(operation, table, **row) for row in rows])


class TestContract(NativeContract):
    name = "sql"
    object = "customer"
    any_object = True
    good: ClassVar = {
        "add": {"id": 1, "e-mail": "a@x.org"},
        "update": {"id": 1, "Order": 2},
        "upsert": {"id": 1, "Order": 3},
        "delete": {"id": 1},
    }

    @pytest.fixture
    async def connector(self, database: Database) -> AsyncIterator[Connector]:
        connector = database.connector()
        yield connector
        await connector.close()

    def at(self, port: int) -> Connector:
        return made({"url": f"postgresql://me@127.0.0.1:{port}/db", "allow_private_addresses": True})

    def guarded(self) -> Connector:
        return made({"url": "postgresql://me@127.0.0.1/db"})


async def test_every_operation(database: Database, connector: Connector) -> None:
    """A row is added, changed, put there or changed, and deleted; columns that are not given stay as they are."""
    row = {"id": 1, "e-mail": "a@x.org", "Order": 7, "since": "2026-01-31"}
    added = await deliver(connector, "add", "customer", row, {"id": 2})
    await deliver(connector, "update", "customer", {"id": 1, "Order": 8})
    await deliver(connector, "upsert", "customer", {"id": 2, "Order": 9}, {"id": 3, "e-mail": None, "Order": 1})
    there = database.rows('select id, "e-mail", "Order", cast(since as varchar(20)) from customer order by id')
    deleted = await deliver(connector, "delete", "customer", {"id": 1}, {"id": 99})

    assert [one.id for one in added if isinstance(one, Delivered)] == ["1", "2"]
    assert there == [(1, "a@x.org", 8, "2026-01-31"), (2, None, 9, None), (3, None, 1, None)]
    assert [type(one) for one in deleted] == [Delivered, Delivered]
    assert database.rows("select id from customer order by id") == [(2,), (3,)]


async def test_a_key_of_several_columns(database: Database, connector: Connector) -> None:
    """It says which row, gives events their order, and an upsert of the key alone changes nothing."""
    price = {"sku": "A", "country": "BE", "amount": 1}
    await deliver(connector, "upsert", "price", price)
    await deliver(connector, "upsert", "price", {**price, "amount": Decimal("12345678901234567.89")})
    (nothing,) = await deliver(connector, "upsert", "price", {"sku": "A", "country": "BE"})
    ((amount,),) = database.rows("select cast(amount as varchar(40)) from price")

    assert isinstance(nothing, Delivered)
    assert connector.record_key("price", Operation.UPSERT, price) == "A/BE"
    assert connector.record_key("customer", Operation.UPDATE, {"id": 5}) == "5"
    assert connector.record_key("customer", Operation.ADD, {"Order": 5}) is None
    if database.url.startswith("postgresql"):  # SQLite's numbers are doubles
        assert amount == "12345678901234567.8900000000"


async def test_rows_that_are_not_there(connector: Connector) -> None:
    """An update says so for its row alone; the others are done."""
    await deliver(connector, "add", "customer", {"id": 1}, {"id": 3})
    verdicts = await deliver(
        connector, "update", "customer", {"id": 1, "Order": 1}, {"id": 2, "Order": 1}, {"id": 3, "Order": 1}
    )

    assert [type(one) for one in verdicts] == [Delivered, Rejected, Delivered]
    assert isinstance(verdicts[1], Rejected)
    assert verdicts[1].reason == "there is no row of customer with id 2"


@pytest.mark.parametrize("operation", ["add", "upsert"])
async def test_a_row_that_the_database_refuses(operation: str, database: Database, connector: Connector) -> None:
    """Nothing of the batch is there; alone, it is refused with the database's words, and as a conflict."""
    await deliver(connector, "add", "customer", {"id": 1, "e-mail": "a@x.org"})
    rows: list[dict[str, Any]] = [{"id": 2, "e-mail": "b@x.org"}, {"id": 3, "e-mail": "a@x.org"}]
    together = await deliver(connector, operation, "customer", *rows)
    (alone,) = await deliver(connector, operation, "customer", rows[1])

    assert [isinstance(one, Rejected) and one.whole for one in together] == [True, True]
    assert isinstance(alone, Rejected)
    assert (alone.whole, alone.conflict, "unique" in alone.reason.lower()) == (False, True, True)
    assert "INSERT" not in alone.reason
    assert database.rows("select id from customer") == [(1,)]


@pytest.mark.parametrize(
    ("operation", "table", "row", "told"),
    [
        ("add", "nothing", {"a": 1}, "there is no table 'nothing'"),
        ("add", "customer; drop table price", {"id": 1}, "there is no table"),
        ("add", "customer", {"id": 1, "nme": "x"}, "customer has no column nme; it has id, e-mail, Order, since"),
        ("add", "customer", {'id") values (1); drop table price; --': 1}, "has no column id"),
        ("add", "customer", {}, "it has no fields"),
        ("update", "customer", {"Order": 1}, "id is not given, and identifies a row of customer"),
        ("update", "customer", {"id": None, "Order": 1}, "id is not given"),
        ("update", "customer", {"id": 1}, "it changes nothing"),
        ("upsert", "notes", {"text": "x"}, "notes has no column id; it has text"),
        ("delete", "price", {"sku": "A"}, "country is not given"),
    ],
)
async def test_what_is_no_row(  # noqa: PLR0917
    operation: str, table: str, row: dict[str, Any], told: str, database: Database, connector: Connector
) -> None:
    """It is refused by its name; a name is never SQL."""
    (refused,) = await deliver(connector, operation, table, row)

    assert isinstance(refused, Rejected)
    assert told in refused.reason
    assert database.rows("select count(*) from price") == [(0,)]


async def test_values_are_never_sql(database: Database, connector: Connector) -> None:
    """They are bound."""
    hostile = "'); drop table price; --"
    (added,) = await deliver(connector, "add", "customer", {"id": 1, "e-mail": hostile})

    assert isinstance(added, Delivered)
    assert database.rows('select "e-mail" from customer') == [(hostile,)]


async def test_rows_of_different_columns_in_one_batch(database: Database, connector: Connector) -> None:
    """What a row does not give is the column's default."""
    verdicts = await deliver(
        connector, "add", "customer", {"id": 1}, {"id": 2, "Order": 5}, {"id": 3}, {"nme": 4}, {"Order": 7, "id": 4}
    )

    assert [type(one) for one in verdicts] == [Delivered, Delivered, Delivered, Rejected, Delivered]
    assert database.rows('select id, "Order" from customer order by id') == [(1, None), (2, 5), (3, None), (4, 7)]


async def test_find(database: Database, connector: Connector) -> None:
    """Whether a lost add has happened is said by its key; without one nobody can tell."""
    await deliver(connector, "add", "customer", {"id": 1})
    found = await connector.find(
        [event("add", "customer", id=1), event("add", "customer", id=2), event("add", "customer", Order=1)]
    )
    lost = TestContract().at(int(refused_port().rpartition(":")[2]))
    with pytest.raises(Unreachable):
        await lost.find([event("add", "customer", id=1)])
    await lost.close()

    assert [type(one) for one in found] == [Found, Absent, CannotTell]
    assert connector.function("customer", Operation.ADD).findable


async def test_read(connector: Connector) -> None:
    """By key, by a column, page by page; a name that is no column is an error and not an empty answer."""
    await deliver(connector, "add", "customer", *({"id": n, "Order": n % 2, "since": "2026-01-31"} for n in range(150)))
    one = await connector.read("customer", {"id": 7})
    odd = await connector.read("customer", {"searchfield": "Order", "searchterm": 1})
    first = await connector.read("customer", {})
    second = await connector.read("customer", {}, first.bookmark)
    with pytest.raises(CallFailed, match="has no column nme"):
        await connector.read("customer", {"nme": 1})
    with pytest.raises(CallFailed, match="there is no table"):
        await connector.read("nothing", {})

    assert one.detail == [{"id": 7, "e-mail": None, "Order": 1, "since": "2026-01-31"}]
    assert len(odd.detail) == 75
    assert ([len(first.detail), len(second.detail)], second.bookmark) == ([100, 50], None)
    assert [row["id"] for row in (*first.detail, *second.detail)] == list(range(150))


async def test_a_table_that_is_locked(database: Database) -> None:
    """It passes: again, and nothing was done."""
    connector = database.connector(timeout_seconds=1)
    with database.engine.connect() as holding:
        if database.url.startswith("sqlite"):
            holding.exec_driver_sql("begin exclusive")
        else:
            holding.execute(sa.text("lock table customer in access exclusive mode"))
        (waited,) = await deliver(connector, "add", "customer", {"id": 1})
        holding.rollback()
    (added,) = await deliver(connector, "add", "customer", {"id": 1})
    await connector.close()

    assert isinstance(waited, Retry), waited
    assert isinstance(added, Delivered)


def test_settings(tmp_path: Path) -> None:
    """A password in the URL, another kind of database, a key that is none: said when the connection is made."""
    check("sql", None, {"url": "postgresql://me@db/x"}, ["password"])
    with pytest.raises(BadConnection, match="url is missing"):
        check("sql", None, {}, [])
    for settings, told in (
        ({"url": "postgresql://me:secret@db/x"}, "give it as the secret `password`"),
        ({"url": "mysql://me@db/x"}, "is none of postgresql://user@host/database, sqlite:////path"),
        ({"url": "postgresql:///x"}, "is none of"),
        ({"url": "nonsense"}, "url is no URL"),
        ({"url": "sqlite://"}, "sqlite needs the path of a file"),
        ({"url": "sqlite:////x", "keys": {"a": 1}}, "keys.a is 1; it is a column's name"),
    ):
        with pytest.raises(BadConnection, match=told) as refused:
            made(settings)
        assert "secret@" not in str(refused.value)


async def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """No new, empty database is made: Down."""
    connector = made({"url": f"sqlite:///{tmp_path}/none.db"})
    (got,) = await deliver(connector, "add", "customer", {"id": 1})
    await connector.close()

    assert isinstance(got, Down)
    assert not list(tmp_path.iterdir())  # noqa: ASYNC240 - an empty folder of a test


@pytest.mark.postgres
async def test_types_of_postgresql(postgres_url: str) -> None:
    """The database reads texts as its columns do: JSON, UUIDs, times, truth; what it cannot read is refused."""
    url = make_url(postgres_url)
    database = Database(url.set(password=None).render_as_string(), url.password)
    database.run(
        "create schema other; create table other.t (id uuid primary key, j jsonb, at timestamptz, b boolean, "
        "n bigint, f float8, txt text, e interval)"
    )
    connector = database.connector(schema="other", keys={})
    row = {
        "id": "6f0b7a52-8f1e-5b0e-9d0a-2f6a55d3f1c4", "j": {"a": [1, None]}, "at": "2026-01-31T08:00:00Z", "b": True,
        "n": 9_007_199_254_740_993, "f": 1e-7, "txt": 5, "e": "2 hours",
    }  # fmt: skip
    (added,) = await deliver(connector, "add", "t", row)
    (refused,) = await deliver(connector, "update", "t", {"id": row["id"], "n": "many"})
    page = await connector.read("t", {"id": row["id"]})
    await connector.close()
    database.engine.dispose()

    assert isinstance(added, Delivered), added
    assert isinstance(refused, Rejected)
    assert 'invalid input syntax for type bigint: "many"' in refused.reason
    assert page.detail[0] | {"at": "", "e": ""} == {**row, "txt": "5", "at": "", "e": ""}
    assert page.detail[0]["at"].startswith("2026-01-31T")


@pytest.mark.postgres
async def test_a_connection_that_is_cut(postgres_url: str) -> None:
    """The next call makes another; one that is cut in a transaction was rolled back: again."""
    url = make_url(postgres_url)
    database = Database(url.set(password=None).render_as_string(), url.password)
    database.run(TABLES)
    connector = database.connector()
    await deliver(connector, "add", "customer", {"id": 1})
    kill = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'writeback'"
    database.rows(kill)
    (after,) = await deliver(connector, "add", "customer", {"id": 2})
    with database.engine.connect() as holding:
        holding.execute(sa.text("lock table customer in access exclusive mode"))
        waiting = asyncio.create_task(deliver(connector, "add", "customer", {"id": 3}))
        while not holding.execute(sa.text("select 1 from pg_locks where not granted")).all():  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.05)  # the server has nothing to wait on
        holding.execute(sa.text(kill))
        (cut,) = await waiting
    await connector.close()
    database.engine.dispose()

    assert isinstance(after, Delivered)
    assert isinstance(cut, Retry | Down), cut
    assert database.rows("select id from customer order by id") == [(1,), (2,)]
    database.engine.dispose()


@pytest.mark.postgres
async def test_a_login_that_is_refused(postgres_url: str) -> None:
    """Down, with the server's words, and no password in them."""
    url = make_url(postgres_url).set(username="nobody", password=None)
    connector = made({"url": url.render_as_string(), "allow_private_addresses": True}, {"password": "hunter2-secret"})
    (got,), probed = await deliver(connector, "add", "customer", {"id": 1}), await connector.probe()
    await connector.close()

    assert isinstance(got, Down)
    assert isinstance(probed, Down)
    assert "nobody" in got.reason
    assert "hunter2" not in repr(got)
