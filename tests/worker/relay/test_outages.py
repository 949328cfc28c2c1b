"""What happens to PostgreSQL under a relay: rows wait, and then go once and in order."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import make_url
from sqlalchemy.exc import DBAPIError

from tests.postgres_server import NoPostgres, running_postgres
from tests.topics.outbox.conftest import TABLE, Warehouse
from tests.worker.relay.test_relay import events_in, insert, log, relay_of, running, until
from topics.log import Log
from topics.outbox.engine import open_engine
from worker.clock import FakeClock, SystemClock
from worker.relay.relay import Relay

__all__ = ["log"]

pytestmark = pytest.mark.postgres


@pytest.fixture
def contacts(postgres_warehouse: Warehouse) -> Warehouse:
    postgres_warehouse.run(TABLE)
    postgres_warehouse.create()
    return postgres_warehouse


async def test_the_server_is_restarted(log: Log, tmp_path: Path) -> None:
    """The relay comes back by itself; nothing is lost, and nothing doubled."""
    try:
        with running_postgres() as server:
            warehouse = Warehouse(server.url.render_as_string())
            warehouse.run(TABLE)
            warehouse.create()
            async with running(relay_of(warehouse, log)):
                warehouse.run(insert(1, 3))
                await until(lambda: not warehouse.rows())
                server.stop()
                server.start()
                warehouse.run(insert(4, 6))
                await until(lambda: not warehouse.rows())
            assert [event.key for event in events_in(log)] == [str(n) for n in range(1, 7)]
    except NoPostgres as error:
        pytest.skip(str(error))


async def test_the_database_is_read_only_for_a_while(contacts: Warehouse, log: Log) -> None:
    """As a standby is after a failover: what was written before waits, and goes once it may be taken out."""
    name = make_url(contacts.url).database
    contacts.run(insert(1, 3), f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    relay = relay_of(contacts, log)
    async with running(relay):
        await until(lambda: relay.failures)
        contacts.run("SET TRANSACTION READ WRITE", f"ALTER DATABASE {name} RESET default_transaction_read_only")
        await until(lambda: not contacts.rows())
    assert [event.key for event in events_in(log)] == ["1", "2", "3"]


async def test_the_relay_may_take_nothing_out_for_a_while(contacts: Warehouse, log: Log) -> None:
    """A right that was revoked: what is published already is not published again when the right is back."""
    contacts.run(
        "DROP ROLE IF EXISTS relay",
        "CREATE ROLE relay LOGIN",
        "GRANT USAGE ON SCHEMA writeback TO relay",
        "GRANT ALL ON ALL TABLES IN SCHEMA writeback TO relay",
        "REVOKE DELETE ON writeback.outbox FROM relay",
        insert(1, 3),
    )
    engine = open_engine(make_url(contacts.url).set(username="relay", drivername="postgresql+psycopg"))
    relay = Relay(engine, log, {"crm": 1}.get, SystemClock())
    try:
        async with running(relay):
            await until(lambda: relay.failures)
            assert len(contacts.rows()) == 3
            contacts.run("GRANT DELETE ON writeback.outbox TO relay")
            await until(lambda: not contacts.rows())
    finally:
        engine.dispose()
        contacts.run("DROP OWNED BY relay", "DROP ROLE relay")
    assert [event.key for event in events_in(log)] == ["1", "2", "3"]


def test_a_writer_is_told_why_when_the_trigger_may_not_write(contacts: Warehouse) -> None:
    """The maker's right on the outbox was revoked: the write fails, with the table that it is about."""
    contacts.run(
        "DROP ROLE IF EXISTS maker",
        "CREATE ROLE maker",
        "GRANT USAGE ON SCHEMA writeback TO maker",
        "ALTER FUNCTION writeback.trigger_contacts() OWNER TO maker",
    )
    try:
        with pytest.raises(DBAPIError, match="permission denied for table outbox"):
            contacts.run(insert(1, 1))
    finally:
        contacts.run(
            "ALTER FUNCTION writeback.trigger_contacts() OWNER TO CURRENT_USER",
            "DROP OWNED BY maker",
            "DROP ROLE maker",
        )
    assert contacts.count("SELECT count(*) FROM contacts") == 0


def test_a_clock_behind_the_database_s_shows_no_negative_age(contacts: Warehouse, log: Log) -> None:
    """The oldest row was written in the future: it waits for 0 seconds."""
    contacts.run(insert(1, 2))
    assert Relay(contacts.engine, log, {"crm": 1}.get, FakeClock()).backlog() == (2, 0.0)
