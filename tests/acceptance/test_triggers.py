"""From a row to a topic and to the SaaS: concurrent writers, relays that are killed, a log that is away."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, create_engine, make_url, text
from sqlalchemy.exc import DBAPIError

from tests.acceptance import rig
from tests.tools.forked import ForkedStage
from topics import names
from topics.event.codec import decode
from topics.event.event import Event
from topics.log import Partition
from topics.outbox.engine import open_engine
from topics.outbox.outbox import Outbox
from topics.warehouse import warehouse_url
from worker.demo.stage import Stage

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(420)]

WRITERS = 20
KEYS = 60
SECONDS = 8.0
TABLE = "CREATE TABLE contacts (id INTEGER PRIMARY KEY, email TEXT, n INTEGER)"
CREATE = (
    "triggers", "create", "--table", "contacts", "--connection", "hubspot", "--object", "contact", "--key", "id",
    "--map", "email=email,n=n", "--upsert",
)  # fmt: skip


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def warehouse(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'warehouse.db'}"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
def engine(warehouse: str) -> Iterator[Engine]:
    url = make_url(warehouse)
    opened = create_engine(url, connect_args={"timeout": 60} if url.get_backend_name() == "sqlite" else {})
    with opened.begin() as connection:
        connection.execute(text(TABLE))
    yield opened
    opened.dispose()


@pytest.mark.parametrize("log", rig.ENGINES)
def test_twenty_writers_and_relays_that_are_killed(
    log: str, warehouse: str, engine: Engine, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Commits, rollbacks, moved keys, late commits: the events, taken in order, make exactly the table, each once."""
    with rig.stage_on(log, tmp_path / "stage", request) as stage:
        rig.connect(stage, "hubspot", "http://127.0.0.1:9", connector="http")  # nobody is asked
        stage.writeback(*CREATE, WRITEBACK_WAREHOUSE=warehouse)
        relays = [stage.worker("relay", name=f"relay{n}", WRITEBACK_WAREHOUSE=warehouse) for n in range(3)]
        stop = threading.Event()
        writers = [threading.Thread(target=_write, args=(engine, random.Random(n), stop)) for n in range(WRITERS)]
        for writer in writers:
            writer.start()
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            time.sleep(1.0)
            victim = random.randrange(len(relays))
            relays[victim].kill()
            relays[victim].wait()
            relays[victim] = stage.worker("relay", name=f"relay{victim}", WRITEBACK_WAREHOUSE=warehouse)
        stop.set()
        for writer in writers:
            writer.join()
        rig.wait_until("the outbox is empty", lambda: _waiting(warehouse) == 0, within=90)
        for relay in relays:
            stage.stop(relay)

        events = _events(stage)
        assert max(Counter(event.id for event in events).values()) == 1
        with engine.connect() as connection:
            table = {row.id: (row.email, row.n) for row in connection.execute(text("SELECT * FROM contacts"))}
        assert _replayed(events) == table
        assert len(events) > WRITERS


def test_while_the_log_is_away_rows_wait_and_the_writer_goes_on(warehouse: str, engine: Engine, tmp_path: Path) -> None:
    """The folder of the embedded log is taken away and given back; then all is published, in order."""
    with ForkedStage(tmp_path / "stage", log=f"sqlite:///{tmp_path}/log/log.db") as stage:
        (tmp_path / "log").mkdir()
        rig.connect(stage, "hubspot", "http://127.0.0.1:9", connector="http")
        stage.writeback(*CREATE, WRITEBACK_WAREHOUSE=warehouse)
        (tmp_path / "log").rename(tmp_path / "away")
        (tmp_path / "log").write_text("in the way")
        relay = stage.worker("relay", WRITEBACK_WAREHOUSE=warehouse)
        for n in range(50):
            with engine.begin() as connection:
                connection.execute(text("INSERT INTO contacts VALUES (:n, 'x', :n)"), {"n": n})
        time.sleep(2.0)
        assert _waiting(warehouse) == 50
        (tmp_path / "log").unlink()
        (tmp_path / "away").rename(tmp_path / "log")
        if relay.poll() is not None:  # an embedded log that is gone ends a process; whoever supervises starts it again
            relay = stage.worker("relay", WRITEBACK_WAREHOUSE=warehouse)
        rig.wait_until("the outbox is empty", lambda: _waiting(warehouse) == 0, within=60)
        assert [event.key for event in _events(stage)] == [str(n) for n in range(50)]


def test_a_row_reaches_the_crm(warehouse: str, engine: Engine, tmp_path: Path) -> None:
    """`writeback up` alone: an insert, an update and a backfilled row are in the CRM."""
    with ForkedStage(tmp_path / "stage", env={"SANDBOX_TOKEN": "pat-test", "WRITEBACK_WAREHOUSE": warehouse}) as stage:
        crm = stage.sandbox()
        rig.connect(stage, "hubspot", crm)
        with engine.begin() as connection:
            connection.execute(text("INSERT INTO contacts VALUES (1, 'old@acme.com', 1)"))
        stage.writeback(*CREATE[:8], "--key", "email", "--map", "email=email", "--upsert", "--on", "insert,update")
        assert stage.writeback("triggers", "backfill", "hubspot_contacts").stdout.startswith("1 rows")
        up = stage.worker("up")
        with engine.begin() as connection:
            connection.execute(text("INSERT INTO contacts VALUES (2, 'new@acme.com', 1)"))
        rig.wait_until("both are delivered", lambda: len(_delivered(stage)) == 2, within=60)
        assert _delivered(stage) == {"old@acme.com", "new@acme.com"}
        assert stage.json("triggers", "list")[0]["waiting"] == 0
        assert stage.stop(up) == 0
        rig.no_traceback(stage)


def _write(engine: Engine, dice: random.Random, stop: threading.Event) -> None:
    while not stop.is_set():
        try:
            with engine.connect() as connection, connection.begin() as transaction:
                for _ in range(dice.randint(1, 3)):
                    _change(connection, dice)
                if dice.random() < 0.1:
                    time.sleep(dice.uniform(0.0, 0.3))  # a transaction that commits late
                if dice.random() < 0.2:
                    transaction.rollback()
        except DBAPIError:
            continue  # a key that is taken, a deadlock: rolled back
        time.sleep(dice.uniform(0.0, 0.02))


def _change(connection: Connection, dice: random.Random) -> None:
    key, other, n = dice.randrange(KEYS), dice.randrange(KEYS), dice.randrange(10**9)
    statement = dice.choices(
        [
            "INSERT INTO contacts VALUES (:key, 'a', :n)",
            "UPDATE contacts SET n = :n WHERE id = :key",
            "UPDATE contacts SET email = email || 'x', n = :n WHERE id BETWEEN :key AND :key + 5",
            "DELETE FROM contacts WHERE id = :key",
            "UPDATE contacts SET id = :other WHERE id = :key",
        ],
        weights=[4, 4, 1, 1, 1],
    )[0]
    connection.execute(text(statement), {"key": key, "other": other, "n": n})


def _waiting(warehouse: str) -> int:
    engine = open_engine(warehouse_url(warehouse))
    try:
        return Outbox(engine).backlog()[0]
    finally:
        engine.dispose()


def _events(stage: Stage) -> list[Event]:
    topic = Partition(names.DEFAULT.events_topic("hubspot"), 0)
    end = stage.log.end_offsets([topic])[topic]
    reader, found = stage.log.reader({topic: 0}), []
    while reader.position(topic) < end:
        found += [decode(record) for record in reader.poll(5.0)]
    reader.close()
    return found


def _replayed(events: list[Event]) -> dict[int, tuple[Any, Any]]:
    """The table, made again from its events."""
    records: dict[int, dict[str, Any]] = {}
    for event in events:
        key = int(event.key or "")
        if event.operation == "delete":
            records.pop(key, None)
        else:
            records.setdefault(key, {}).update(event.fields)
    return {key: (record.get("email"), record.get("n")) for key, record in records.items()}


def _delivered(stage: Stage) -> set[str | None]:
    return {result.key for result in stage.results() if result.outcome == "delivered"}
