"""Debezium in the place of our relay, with the settings of the how-to: `make test ARGS="-m debezium"`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from tests.acceptance import rig
from tests.debezium import running_connect
from tests.kafka_broker import ROOT, Broker
from tests.postgres_server import running_postgres
from topics import names
from topics.event.codec import decode
from topics.log import Partition

pytestmark = [pytest.mark.acceptance, pytest.mark.kafka, pytest.mark.postgres, pytest.mark.debezium]
HOW_TO = ROOT / "docs" / "how-to" / "debezium.md"


@pytest.fixture(autouse=True)
def asked_for(request: pytest.FixtureRequest) -> None:
    if "debezium" not in request.config.getoption("-m"):
        pytest.skip("half a minute, and 40 MB of jars: runs with -m debezium")


def block(language: str) -> str:
    """What the how-to shows."""
    found = re.search(rf"```{language}\n(.*?)```", HOW_TO.read_text(), re.DOTALL)
    assert found is not None
    return "\n".join(line.strip() for line in found[1].splitlines())


@pytest.mark.timeout(400)
def test_what_debezium_publishes_is_delivered(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Rows from before it began and after, with the outbox's ids, in order, and none that its trigger refused."""
    broker: Broker = request.getfixturevalue("kafka")
    with running_postgres("-c wal_level=logical") as server, rig.stage_on("kafka", tmp_path / "s", request) as stage:
        warehouse = server.url.render_as_string()
        rig.connect(stage, "hubspot", stage.sandbox())
        engine = create_engine(server.url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:

            def run(*statements: str) -> None:
                for statement in statements:
                    connection.execute(text(statement))

            run("CREATE TABLE contacts (id int PRIMARY KEY, email text, name text)")
            stage.writeback(
                "triggers", "create", "--table", "contacts", "--connection", "hubspot", "--object", "contact",
                "--key", "email", "--map", "email=email,firstname=name", "--upsert", "--on", "insert,update",
                WRITEBACK_WAREHOUSE=warehouse,
            )  # fmt: skip
            run(*(each for each in block("sql").split(";") if each.strip()))
            run("INSERT INTO contacts VALUES (1, 'before@acme.com', 'Ada'), (2, NULL, 'Nobody')")
            settings = dict(line.split("=", 1) for line in block("properties").splitlines())
            settings |= {
                "database.hostname": "127.0.0.1",
                "database.port": str(server.url.port),
                "database.dbname": "postgres",
            }
            topic = Partition(names.DEFAULT.events_topic("hubspot"), 0)

            def published() -> int:
                return stage.log.end_offsets([topic])[topic]

            with running_connect(tmp_path / "connect", broker.bootstrap, settings) as said:
                try:
                    rig.wait_until("the snapshot is published", lambda: published() == 1, within=120)
                    run("INSERT INTO contacts VALUES (3, 'after@acme.com', 'Bob')")
                    run(
                        "INSERT INTO contacts VALUES (4, NULL, 'Nobody')",
                        "UPDATE contacts SET name = 'Bo' WHERE id = 3",
                    )
                    rig.wait_until("the changes are published", lambda: published() == 3, within=60)
                except AssertionError as error:
                    raise AssertionError(f"{error}\n{said.read_text()[-3_000:]}") from error
            ids = [str(each) for each in connection.scalars(text(
                "SELECT id FROM writeback.outbox WHERE refused IS NULL ORDER BY position"
            ))]  # fmt: skip
            connection.execute(text("SELECT pg_drop_replication_slot('writeback_outbox')"))
        engine.dispose()
        reader = stage.log.reader({topic: 0})
        events = [decode(record) for record in reader.poll(5.0)]
        reader.close()
        assert [event.id for event in events] == ids
        assert [(event.key, event.fields) for event in events] == [
            ("before@acme.com", {"email": "before@acme.com", "firstname": "Ada"}),
            ("after@acme.com", {"email": "after@acme.com", "firstname": "Bob"}),
            ("after@acme.com", {"email": "after@acme.com", "firstname": "Bo"}),
        ]
        worker = stage.worker("worker")
        rig.wait_until("all are delivered", lambda: len(stage.results()) == 3, within=60)
        assert [(result.outcome, result.reason) for result in stage.results()] == [("delivered", None)] * 3
        assert stage.stop(worker) == 0
