"""The store's migrations, on both databases."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, MetaData, NullPool, create_engine, inspect, text
from sqlalchemy.exc import SQLAlchemyError

from connectors.connections import sightings
from connectors.connections.table import METADATA as CONNECTIONS
from dead_letter.store.parking import METADATA as PARKING
from dead_letter.store.tables import METADATA as LETTERS
from pq._scripts import METADATA as SCRIPTS
from tests.acceptance.command import Person
from topics.cli.console import FAILED, USAGE
from topics.errors import SettingsError
from topics.store import migrate, open_store
from topics.store.orders import METADATA as ORDERS
from worker.alerts.state import METADATA as ALERTS
from worker.refresher.tables import METADATA as REFRESHES
from worker.syncs.tables import METADATA as SYNCS

ROOMS = [ALERTS, ORDERS, CONNECTIONS, LETTERS, PARKING, REFRESHES, SCRIPTS, SYNCS]
"""The tables as each room's code has them."""


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    found: str = request.getfixturevalue("postgres_url") if request.param == "postgresql" else ""
    return found or f"sqlite:///{tmp_path}/store.db"


@pytest.fixture
def store(url: str) -> Iterator[Engine]:
    engine = open_store(url)
    yield engine
    engine.dispose()


def test_the_history_is_one_line() -> None:
    """Every revision follows the one before it and is numbered like its file."""
    config = Config()
    config.set_main_option("script_location", str(migrate.FOLDER))
    history = list(ScriptDirectory.from_config(config).walk_revisions())
    numbers = [f"{number:04}" for number in range(len(history), 0, -1)]

    assert [revision.revision for revision in history] == numbers
    assert [Path(revision.path).name[1:5] for revision in history] == numbers
    assert numbers[0] == migrate.LATEST


def test_the_revisions_make_what_the_rooms_expect(store: Engine) -> None:
    """The tables, columns, keys and indexes that the migrations leave are those of the rooms' code."""
    assert sightings.STATES.metadata is CONNECTIONS
    with store.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": migrate.TABLE, "compare_type": True})
        differences: list[Any] = compare_metadata(context, _together(ROOMS))

    assert differences == []


def test_a_new_store_is_made_with_the_first_connection(store: Engine) -> None:
    """Nothing has to be called: whoever connects finds the tables, and the version that made them."""
    with store.connect() as connection:
        version = connection.scalar(text(f"SELECT version_num FROM {migrate.TABLE}"))

    assert version == migrate.LATEST
    assert {"connections", "dead_letters", "parked_keys"} <= set(inspect(store).get_table_names())


def test_a_store_that_is_up_to_date_needs_no_alembic(url: str, store: Engine) -> None:
    """Opening it again imports nothing of Alembic: a command starts as fast as before."""
    store.connect().close()
    program = (
        f"import sys; from topics.store import open_store; open_store({url!r}).connect();"
        "print(sorted(name for name in sys.modules if name.startswith(('alembic', 'mako'))))"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout

    assert said.strip() == "[]"


OPEN = """
import sys
from sqlalchemy import text
from topics.store import open_store
sys.stdin.readline()
with open_store(sys.argv[1]).begin() as connection:
    connection.execute(text("UPDATE connections_revision SET n = n + 1"))
"""


def test_processes_open_a_new_store_at_once(url: str, store: Engine) -> None:
    """Five processes that open a new store at the same moment all succeed, and one of them migrates."""
    processes = [subprocess.Popen([sys.executable, "-c", OPEN, url], stdin=subprocess.PIPE) for _ in range(5)]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(b"now\n")
        process.stdin.close()
    codes = [process.wait(60) for process in processes]
    with store.connect() as connection:
        counted = connection.execute(text("SELECT n FROM connections_revision")).scalars().all()

    assert (codes, counted) == ([0] * 5, [5])


def test_a_migration_that_fails_changes_nothing(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its tables and its version come together, or not at all; the next to come finds the store as it was."""
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"), poolclass=NullPool)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE parked_keys (key_hash INTEGER)"))  # the index on it cannot be made
    with pytest.raises(SQLAlchemyError, match="connection"):
        open_store(url).connect()

    assert inspect(engine).get_table_names() == ["parked_keys"]


def test_a_newer_store_is_refused(url: str, store: Engine) -> None:
    """An older program names both versions and what to do, and touches nothing."""
    with store.begin() as connection:
        connection.execute(text(f"UPDATE {migrate.TABLE} SET version_num = '9999'"))

    with pytest.raises(SettingsError, match=f"9999.*newer release.*up to {migrate.LATEST}.*run the newer release"):
        open_store(url).connect()


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("up", USAGE),
        ("worker", USAGE),
        ("connections list", USAGE),
        ("dead-letters list", USAGE),
        ("import rows.csv --connection crm --object contact --operation upsert --key email", USAGE),
        ("doctor", FAILED),
    ],
)
def test_every_command_refuses_a_newer_store(command: str, code: int, tmp_path: Path) -> None:
    """A program that meets a newer store says so in one line and stops; nothing goes out."""
    with open_store(f"sqlite:///{tmp_path}/.writeback/store.db").begin() as connection:
        connection.execute(text(f"UPDATE {migrate.TABLE} SET version_num = '9999'"))
    (tmp_path / "rows.csv").write_text("email\na@x.example\n")
    environment = Person(tmp_path).environment | {"PYTHONPATH": str(Path(migrate.__file__).parents[2])}
    program = [sys.executable, "-m", "writeback", *command.split()]
    done = subprocess.run(
        program, cwd=tmp_path, env=environment, timeout=60, capture_output=True, text=True, check=False
    )

    assert (done.returncode, "schema version 9999" in done.stderr + done.stdout) == (code, True), done
    assert "Traceback" not in done.stderr


def _together(rooms: list[MetaData]) -> MetaData:
    whole = MetaData()
    for room in rooms:
        for table in room.tables.values():
            table.to_metadata(whole)
    return whole
