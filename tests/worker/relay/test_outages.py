"""What happens to the warehouse and to Kafka under a relay: rows wait, and then go once and in order."""

from __future__ import annotations

import asyncio
import errno
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import make_url
from sqlalchemy.exc import DBAPIError

from tests.kafka_broker import Broker
from tests.postgres_server import NoPostgres, running_postgres
from tests.topics.outbox.conftest import TABLE, Warehouse
from tests.worker.relay.test_relay import events_in, insert, log, relay_of, running, until
from topics.log import Log
from topics.open import open_log
from topics.outbox.engine import open_engine
from topics.outbox.errors import WarehouseUnavailable
from worker.clock import FakeClock, SystemClock
from worker.relay.relay import Relay

__all__ = ["log"]

FULL = re.compile("disk is full|could not extend file")
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


@pytest.mark.kafka
@pytest.mark.timeout(300)  # a broker may have to be started first
async def test_kafka_is_away_and_comes_back(contacts: Warehouse, kafka: Broker) -> None:
    """Rows are written meanwhile and wait; a relay that was told to stop ends, and the next one sends all, in order."""
    if not kafka.restartable:
        pytest.skip("the broker of KAFKA_BOOTSTRAP_SERVERS is not ours to stop")
    slug = f"away-{uuid4().hex[:8]}"
    contacts.create(connection=slug, replace=True)
    log = open_log(f"kafka://{kafka.bootstrap}")
    try:
        async with running(relay_of(contacts, log, {slug: 1})):
            contacts.run(insert(1, 3))
            await until(lambda: not contacts.rows())
            await asyncio.to_thread(kafka.kill)
            for score in range(5, 8):
                contacts.run(f"UPDATE contacts SET score = {score}")
            assert len(contacts.rows()) == 9
            began = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - began < 20  # and not the two minutes that Kafka's client tries
        later = relay_of(contacts, log, {slug: 1})
        async with running(later):
            contacts.run(insert(4, 5), "DELETE FROM contacts WHERE id = 1")
            await until(lambda: later.failures)
            assert later.backlog()[0] == 12
            await asyncio.to_thread(kafka.start)
            await until(lambda: not contacts.rows())
        events = [(event.operation, event.key, event.fields.get("score")) for event in events_in(log, slug)]
    finally:
        await asyncio.to_thread(kafka.start)
        log.close()
    assert events == [
        *(("add", str(n), n) for n in (1, 2, 3)),
        *(("update", str(n), score) for score in (5, 6, 7) for n in (1, 2, 3)),
        *(("add", str(n), n) for n in (4, 5)),
        ("delete", "1", None),
    ]


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """One megabyte, where also the server's own user gets at it."""
    disk = Path(tempfile.mkdtemp(prefix="writeback-disk-"))
    try:
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], check=False).returncode:
            pytest.skip("no small disk can be mounted here: that takes root")
        yield disk
        subprocess.run(["umount", disk], check=True)
    finally:
        disk.rmdir()


async def test_the_disk_of_an_sqlite_warehouse_is_full(log: Log, small_disk: Path) -> None:
    """The relay waits as the writer does: to remove a row takes a journal."""
    warehouse = Warehouse(f"sqlite:///{small_disk}/warehouse.db")
    await delivers_what_a_full_disk_has(warehouse, log, small_disk)


async def test_the_disk_of_postgresql_is_full(log: Log, small_disk: Path) -> None:
    """The relay waits until it can note what it begins."""
    try:
        with running_postgres() as server:
            warehouse = Warehouse(server.url.render_as_string())
            folder = os.stat(warehouse.count("SHOW data_directory"))  # noqa: PTH116
            os.chown(small_disk, folder.st_uid, folder.st_gid)
            with warehouse.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
                connection.exec_driver_sql(f"CREATE TABLESPACE small LOCATION '{small_disk}'")
                connection.exec_driver_sql("ALTER DATABASE postgres SET default_tablespace = small")
            await delivers_what_a_full_disk_has(warehouse, log, small_disk)
    except NoPostgres as error:
        pytest.skip(str(error))


async def delivers_what_a_full_disk_has(warehouse: Warehouse, log: Log, disk: Path) -> None:
    """The writer is told; a row is in its table and in the outbox, or in neither; there is room again, and all go."""
    warehouse.run(TABLE)
    warehouse.create()
    ballast, rest = disk / "ballast", disk / "rest"
    ballast.write_bytes(b"x" * 600_000)
    with pytest.raises(WarehouseUnavailable, match=FULL):  # noqa: PT012
        for number in range(1, 10_000):
            warehouse.run(f"INSERT INTO contacts VALUES ({number}, '{'x' * 2_000}', NULL, 1, NULL)")
    written = warehouse.count("SELECT count(*) FROM contacts")
    assert written == len(warehouse.rows()) > 10
    fill(rest)
    relay = relay_of(warehouse, log)
    async with running(relay):
        await until(lambda: relay.failures)
        rest.unlink()
        ballast.unlink()
        await until(lambda: not warehouse.rows())
    warehouse.engine.dispose()
    assert [event.key for event in events_in(log)] == [str(n) for n in range(1, written + 1)]


def fill(file: Path) -> None:
    """To the last page of its disk."""
    with file.open("wb", buffering=0) as rest:
        try:
            while rest.write(b"x" * 1_000):
                continue
        except OSError as error:
            assert error.errno == errno.ENOSPC  # noqa: PT017 - it is what was wanted


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
