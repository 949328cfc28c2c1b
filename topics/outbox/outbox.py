"""Makes, lists, pauses and drops the triggers of a warehouse, and looks after the rows that they have written."""

from __future__ import annotations

import difflib
import json
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine, func, null, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from topics.outbox import postgres, sqlite
from topics.outbox.definition import Trigger
from topics.outbox.errors import BadTrigger
from topics.outbox.tables import SCHEMA, Tables, exist, make, tables, upgrade

BACKFILL_ROWS = 1_000
_CREATE_LOCK = 5_714_290_117
"""The key of PostgreSQL's advisory lock under which our tables and triggers are made: an arbitrary number."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A trigger and its state: how many rows are ``waiting``, when the ``oldest`` was written, those ``rejected``."""

    trigger: Trigger
    paused: bool
    waiting: int
    oldest: datetime | None
    rejected: int
    backfilling: bool


class Outbox:
    """The outbox of one warehouse. Every method raises ``BadTrigger`` for what a person can mend."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.tables: Tables = tables(engine)
        self.postgres = engine.dialect.name == "postgresql"

    def exists(self) -> bool:
        """Whether a trigger was ever made here."""
        return exist(self.engine)

    def create(self, trigger: Trigger, *, replace: bool = False) -> None:
        """Make the trigger, and our tables if they are missing, all in one transaction."""
        with self.engine.begin() as connection:
            self._prepare(connection)
            self.check(connection, trigger)
            known = self.tables.triggers
            if replace:
                previous = self._find(connection, trigger.name)
                if previous is not None:
                    self._drop(connection, previous)
            try:
                connection.execute(known.insert().values(name=trigger.name, definition=self._stored(trigger)))
                # the table may have changed while there was no trigger: forget what was sent
                loaded = {"aggregatetype": trigger.connection, "object": trigger.object}
                connection.execute(self.tables.loaded.insert().values(loaded))
            except IntegrityError:
                raise BadTrigger(
                    f"there is a trigger {trigger.name} already: take another --name, or --replace it"
                ) from None
            try:
                (postgres if self.postgres else sqlite).install(connection, trigger)
                (postgres if self.postgres else sqlite).try_out(connection, trigger)
            except DBAPIError as error:
                raise BadTrigger(f"the database does not take the trigger {trigger.name}: {error.orig}") from error

    def check(self, connection: Connection, trigger: Trigger) -> None:
        """Raises ``BadTrigger`` for a column that does not exist, or whose type JSON cannot carry."""
        known = self._columns(connection, trigger)
        for column in trigger.columns:
            if column not in known:
                near = difflib.get_close_matches(column, known, n=1)
                hint = f" Did you mean {near[0]!r}?" if near else ""
                raise BadTrigger(f"{trigger.table} has no column {column!r}; it has {', '.join(known)}.{hint}")
            kind = known[column]
            if isinstance(kind, postgres.ColumnType) and not kind.sendable:
                raise BadTrigger(
                    f"{trigger.table}.{column} has the type {kind.kind}{'[]' * kind.array}, which has no form in JSON "
                    "that everybody agrees on: add a generated column that casts it to text, and map that"
                )

    def sql(self, name: str) -> str:
        """The SQL statements that made the trigger."""
        trigger = self.get(name)
        with self.engine.connect() as connection:
            if self.postgres:
                columns = postgres.columns_of(connection, trigger)
                made = postgres.statements(trigger, columns, postgres.server_version(connection))
            else:
                made = sqlite.statements(trigger, sqlite.columns_of(connection, trigger))
            return "".join(f"{statement};\n\n" for statement in made)

    def get(self, name: str) -> Trigger:
        with self.engine.connect() as connection:
            if self.exists():
                found = self._find(connection, name)
                if found is not None:
                    return found
        raise self._unknown(name)

    def list(self) -> Sequence[Listed]:
        if not self.exists():
            return []
        rows, triggers, rejected = self.tables.outbox, self.tables.triggers, self.tables.rejected
        with self.engine.connect() as connection:
            waiting = {
                row.trigger_name: (row.number, row.oldest)
                for row in connection.execute(
                    select(
                        rows.c.trigger_name, func.count().label("number"), func.min(rows.c.timestamp).label("oldest")
                    ).group_by(rows.c.trigger_name)
                )
            }
            refused: dict[str, int] = {
                row.trigger_name: row.number
                for row in connection.execute(
                    select(rejected.c.trigger_name, func.count().label("number")).group_by(rejected.c.trigger_name)
                )
            }
            return [
                Listed(
                    self._loaded(row.definition),
                    row.paused,
                    waiting.get(row.name, (0, None))[0],
                    _time(waiting.get(row.name, (0, None))[1]),
                    refused.get(row.name, 0),
                    row.backfilled is not None,
                )
                for row in connection.execute(select(triggers).order_by(triggers.c.name))
            ]

    def pause(self, name: str, *, paused: bool) -> None:
        """A paused trigger still writes rows, but no relay takes them until it is resumed. So nothing is lost."""
        triggers = self.tables.triggers
        self.get(name)
        with self.engine.begin() as connection:
            connection.execute(triggers.update().where(triggers.c.name == name).values(paused=paused))

    def drop(self, name: str) -> int:
        """Drop the trigger. Returns how many of its rows still wait; they are sent all the same."""
        trigger, rows = self.get(name), self.tables.outbox
        with self.engine.begin() as connection:
            self._drop(connection, trigger)
            return connection.scalar(select(func.count()).where(rows.c.trigger_name == name)) or 0

    def backfill(self, name: str, *, restart: bool = False, rows: int = BACKFILL_ROWS) -> Generator[int]:
        """Put the rows that the table has already into the outbox, as inserts; live events go before them.

        Yields the number of rows of each step, at most ``rows``. A step is one transaction, and the caller sets the
        pace (``waiting``). After an interruption it goes on with the next step, unless ``restart``.
        """
        triggers = self.tables.triggers
        this = triggers.c.name == name
        trigger = self.get(name)
        if "insert" not in trigger.operations:
            raise BadTrigger(f"the trigger {name} has nothing to do at an insert, which is what a backfill sends")
        if restart:
            with self.engine.begin() as connection:
                connection.execute(triggers.update().where(this).values(backfilled=null()))
        done = False
        while not done:
            with self.engine.begin() as connection:
                reached = connection.scalar(select(triggers.c.backfilled).where(this).with_for_update())
                after = json.loads(reached) if isinstance(reached, str) else reached
                count, last = (postgres if self.postgres else sqlite).backfill(connection, trigger, after, rows)
                done = count < rows
                kept = null() if done else last if self.postgres else json.dumps(last)
                connection.execute(triggers.update().where(this).values(backfilled=kept))
            if count:
                yield count

    def backlog(self) -> tuple[int, datetime | None]:
        """How many rows no relay has taken yet, and when the oldest was written."""
        rows = self.tables.outbox
        with self.engine.connect() as connection:
            found = connection.execute(select(func.count(), func.min(rows.c.timestamp))).one()
        return found[0], _time(found[1])

    def retry(self, name: str | None = None) -> tuple[int, int]:
        """Put rejected rows back, the oldest first, but not those that the trigger itself refused.

        Returns how many were put back, and how many stay.
        """
        schema = f"{SCHEMA}." if self.postgres else f"{SCHEMA}_"
        columns = 'id, aggregatetype, aggregateid, type, payload, "timestamp", subject, trigger_name, backfill'
        which = "NOT by_trigger AND (CAST(:name AS TEXT) IS NULL OR trigger_name = :name)"
        with self.engine.begin() as connection:
            upgrade(connection)
            moved = connection.execute(
                text(
                    f"INSERT INTO {schema}outbox ({columns})"  # noqa: S608 - our own names
                    f" SELECT {columns} FROM {schema}outbox_rejected WHERE {which} ORDER BY position"
                ),
                {"name": name},
            )
            connection.execute(
                text(f"DELETE FROM {schema}outbox_rejected WHERE {which}"),  # noqa: S608 - our own names
                {"name": name},
            )
            stay = select(func.count()).select_from(self.tables.rejected)
            if name is not None:
                stay = stay.where(self.tables.rejected.c.trigger_name == name)
            return moved.rowcount, connection.scalar(stay) or 0

    def rejected(self, name: str | None = None, limit: int = 100) -> Sequence[dict[str, Any]]:
        """Rows that no event could be made of, the newest first, with the reason."""
        if not self.exists():
            return []
        rows = self.tables.rejected
        query = select(rows).order_by(rows.c.position.desc()).limit(limit)
        if name:
            query = query.where(rows.c.trigger_name == name)
        with self.engine.begin() as connection:
            upgrade(connection)
            return [dict(row._mapping) for row in connection.execute(query)]  # noqa: SLF001 - SQLAlchemy's public name

    def _drop(self, connection: Connection, trigger: Trigger) -> None:
        (postgres if self.postgres else sqlite).drop(connection, trigger)
        triggers = self.tables.triggers
        connection.execute(triggers.delete().where(triggers.c.name == trigger.name))

    def _prepare(self, connection: Connection) -> None:
        if self.postgres:
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _CREATE_LOCK})
            connection.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
        make(connection)

    def _columns(self, connection: Connection, trigger: Trigger) -> dict[str, Any]:
        found = (postgres if self.postgres else sqlite).columns_of(connection, trigger)
        return dict(found)

    def _find(self, connection: Connection, name: str) -> Trigger | None:
        triggers = self.tables.triggers
        stored = connection.scalar(select(triggers.c.definition).where(triggers.c.name == name))
        return None if stored is None else self._loaded(stored)

    def _unknown(self, name: str) -> BadTrigger:
        names = [listed.trigger.name for listed in self.list()]
        near = difflib.get_close_matches(name, names, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        there = f"there are: {', '.join(names)}." if names else "there are none yet (`writeback triggers create`)."
        return BadTrigger(f"no trigger {name!r}; {there}{hint}")

    def _stored(self, trigger: Trigger) -> Any:
        return trigger.model_dump(mode="json") if self.postgres else trigger.model_dump_json()

    def _loaded(self, stored: Any) -> Trigger:
        return Trigger.model_validate(json.loads(stored) if isinstance(stored, str) else stored)


def _time(value: Any) -> datetime | None:
    return datetime.fromisoformat(value).astimezone(UTC) if isinstance(value, str) else value
