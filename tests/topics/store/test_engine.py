from decimal import Decimal
from pathlib import Path
from select import select as select_ready
from typing import Any, cast

import pytest
from sqlalchemy import JSON, Column, ForeignKey, Integer, MetaData, Table, insert, select, text
from sqlalchemy.exc import IntegrityError, OperationalError

from topics.errors import SettingsError, StoreUnavailable
from topics.store import open_store, reading

METADATA = MetaData()
PARENT = Table("parent", METADATA, Column("id", Integer, primary_key=True))
CHILD = Table("child", METADATA, Column("id", Integer, primary_key=True), Column("parent", ForeignKey(PARENT.c.id)))


def test_sqlite_is_durable_and_keeps_foreign_keys(tmp_path: Path) -> None:
    """A SQLite store runs in WAL mode with full synchronisation and refuses a dangling reference."""
    engine = open_store(f"sqlite:///{tmp_path}/new/folder/store.db")
    METADATA.create_all(engine)

    with engine.connect() as connection:
        modes = [connection.scalar(text(f"PRAGMA {name}")) for name in ("journal_mode", "synchronous", "foreign_keys")]
    assert modes == ["wal", 2, 1]
    with pytest.raises(IntegrityError), engine.begin() as connection:
        connection.execute(insert(CHILD).values(parent=404))


def test_home_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``~`` in the URL is the user's home."""
    monkeypatch.setenv("HOME", str(tmp_path))
    METADATA.create_all(open_store("sqlite:///~/.writeback/store.db"))

    assert (tmp_path / ".writeback/store.db").exists()


def test_a_long_read_stops_no_writer(tmp_path: Path) -> None:
    """A reader sees one consistent state while another connection commits."""
    engine = open_store(f"sqlite:///{tmp_path}/store.db")
    METADATA.create_all(engine)
    with reading(engine) as reader:
        before = reader.execute(select(PARENT)).all()
        with engine.begin() as writer:
            writer.execute(insert(PARENT).values(id=1))
        after = reader.execute(select(PARENT)).all()

    assert before == after == []


def test_postgresql_means_psycopg() -> None:
    """The plain PostgreSQL URLs that hosters hand out use the driver we install."""
    drivers = {open_store(f"{scheme}://u:p@h/db").url.drivername for scheme in ("postgresql", "postgres")}

    assert drivers == {"postgresql+psycopg"}


@pytest.mark.parametrize("url", ["", "store.db", "oracle-of-delphi://x"])
def test_a_wrong_url_is_a_settings_error(url: str) -> None:
    """What is no database URL is refused by the name of its variable."""
    with pytest.raises(SettingsError, match="WRITEBACK_STORE"):
        open_store(url)


@pytest.mark.parametrize("url", ["sqlite:///{}", "postgresql://user:hunter2@127.0.0.1:1/db"])
def test_a_store_that_is_not_there_is_unavailable(tmp_path: Path, url: str) -> None:
    """A database that cannot be reached is ``StoreUnavailable``, and the password in its URL is not shown."""
    engine = open_store(url.format(tmp_path))

    with pytest.raises(StoreUnavailable, match="does not answer") as raised, engine.begin():
        pass
    assert "hunter2" not in str(raised.value)


@pytest.mark.postgres
def test_a_connection_that_the_server_has_ended_is_an_outage(postgres_url: str) -> None:
    """PostgreSQL ends a transaction that waits for too long: no bug of ours, and the next connection works."""
    engine = open_store(postgres_url)
    with engine.connect() as connection:
        connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 1"))  # ms
        select_ready([cast("Any", connection.connection.dbapi_connection)], [], [], 30)
        with pytest.raises(StoreUnavailable, match="does not answer"):
            connection.execute(text("SELECT 1"))
    with engine.begin() as connection:
        answer = connection.scalar(text("SELECT 1"))
    engine.dispose()

    assert answer == 1


def test_a_wrong_statement_stays_a_bug(tmp_path: Path) -> None:
    """A missing table is our mistake, not an outage."""
    with pytest.raises(OperationalError), open_store(f"sqlite:///{tmp_path}/s.db").begin() as connection:
        connection.execute(select(PARENT))


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_json_keeps_every_digit(engine: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """A Decimal in an operator's edit is stored, and comes back as it was, on both databases."""
    url = request.getfixturevalue("postgres_url") if engine == "postgresql" else f"sqlite:///{tmp_path}/store.db"
    store = open_store(url)
    table = Table("exact", MetaData(), Column("value", JSON))
    table.create(store)
    value = {"amount": Decimal("12345678901234567.89"), "name": "caf\u00e9", "nothing": None}
    with store.begin() as connection:
        connection.execute(insert(table).values(value=value))
        kept = connection.execute(select(table.c.value)).scalar_one()
    store.dispose()

    assert kept == value
    assert type(kept["amount"]) is Decimal
