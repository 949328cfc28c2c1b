"""Brings the store's tables to the version that this release works with, and refuses a store of a newer release.

The tables of all rooms have one linear history: ``migrations/versions/``, run by Alembic. It is imported only where
there is something to be migrated; a store that is up to date costs one read of one row.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, text

from topics.errors import SettingsError

FOLDER = Path(__file__).parent / "migrations"
TABLE = "writeback_version"
"""Where the store's version is kept; not ``alembic_version``, which an application in the same database may have."""
LATEST = max(path.name[1:5] for path in FOLDER.glob("versions/v[0-9]*.py"))
"""The version that this release works with: ``versions/v0001_baseline.py`` makes version 0001, and so on."""

_LOCK = 5_714_290_113
"""Any number, the same in every process and release: PostgreSQL's advisory lock under which tables are changed."""


def is_current(engine: Engine, connection: Any) -> bool:
    """Whether the store that this connection of the driver leads to has this release's tables.

    Raises ``SettingsError`` when it has those of a newer one.
    """
    cursor = connection.cursor()
    try:
        cursor.execute(f"SELECT version_num FROM {TABLE}")  # noqa: S608 - a constant
        row = cursor.fetchone()
    except engine.dialect.loaded_dbapi.Error:
        return False  # no such table, or no such database: `migrate` finds out which
    finally:
        cursor.close()
        connection.rollback()
    _refuse_newer(engine, row and row[0])
    return bool(row and row[0] == LATEST)


def migrate(engine: Engine) -> None:
    """Run the revisions that the store has not seen, all or none; safe when several processes do it at once.

    Raises ``SettingsError`` for a store that a newer release has migrated, ``StoreUnavailable``.
    """
    from alembic import command  # noqa: PLC0415 - a quarter of a second, once in the life of a store and a release
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    with engine.begin() as connection:  # SQLite: BEGIN IMMEDIATE, so one process at a time
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        _refuse_newer(engine, _version(connection))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _version(connection: Connection) -> str | None:
    from alembic.migration import MigrationContext  # noqa: PLC0415

    return MigrationContext.configure(connection, opts={"version_table": TABLE}).get_current_revision()


def _refuse_newer(engine: Engine, version: str | None) -> None:
    if version is not None and version > LATEST:
        from importlib.metadata import version as release  # noqa: PLC0415 - slow, and seldom needed

        raise SettingsError(
            f"WRITEBACK_STORE: {engine.url.render_as_string()} has schema version {version}, made by a newer release; "
            f"this one (writeback {release('writeback')}) works with versions up to {LATEST}: "
            "run the newer release, or name another store"
        )
