"""A warehouse with a table ``contacts``, on each database that can have triggers, and what its outbox holds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from topics.event.event import Operation
from topics.outbox.definition import Change, TableName, Trigger
from topics.outbox.engine import open_engine
from topics.outbox.outbox import Outbox
from topics.outbox.sqlite import value_of
from topics.warehouse import warehouse_url

TABLE = "CREATE TABLE contacts (id INTEGER PRIMARY KEY, email TEXT, first_name TEXT, score NUMERIC, note TEXT)"
OPERATIONS: dict[Change, Operation] = {
    "insert": Operation.ADD,
    "update": Operation.UPDATE,
    "delete": Operation.DELETE,
}


class Warehouse:
    """What a user does with a database of theirs, and a look into the outbox."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine = open_engine(warehouse_url(url))
        self.outbox = Outbox(self.engine)
        self.postgres = self.engine.dialect.name == "postgresql"

    def run(self, *statements: str) -> None:
        """All in one transaction."""
        with self.engine.begin() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement, execution_options={"no_parameters": True})

    def create(self, **changes: Any) -> Trigger:
        replace = changes.pop("replace", False)
        trigger = contacts_trigger(**changes)
        self.outbox.create(trigger, replace=replace)
        return trigger

    def rows(self) -> list[Any]:
        table = self.outbox.tables.outbox
        with self.engine.connect() as connection:
            return list(connection.execute(table.select().order_by(table.c.position)))

    def events(self) -> list[tuple[str, str, dict[str, Any]]]:
        """Operation, key and fields of what waits in the outbox, in its order."""
        return [
            (
                row.type.removeprefix("writeback."),
                row.aggregateid.partition("/")[2],
                row.payload if self.postgres else value_of(row.payload),
            )
            for row in self.rows()
        ]

    def count(self, query: str) -> Any:
        with self.engine.connect() as connection:
            return connection.scalar(text(query))


def contacts_trigger(**changes: Any) -> Trigger:
    given: dict[str, Any] = {
        "name": "contacts",
        "table": TableName(name="contacts"),
        "connection": "crm",
        "object": "contact",
        "operations": OPERATIONS,
        "key": ("id",),
        "fields": {"email": "email", "firstname": "first_name", "score": "score"},
    }
    return Trigger.model_validate({**given, **changes})


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def warehouse(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Warehouse]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'warehouse.db'}"
    else:
        url = request.getfixturevalue("postgres_url")
    made = Warehouse(url)
    made.run(TABLE)
    yield made
    dispose(made.engine)


@pytest.fixture
def postgres_warehouse(postgres_url: str) -> Iterator[Warehouse]:
    made = Warehouse(postgres_url)
    yield made
    dispose(made.engine)


def dispose(engine: Engine) -> None:
    engine.dispose()


def payload_text(row: Any) -> str:
    return row.payload if isinstance(row.payload, str) else json.dumps(row.payload)
