"""A warehouse with a table ``people``, a log, a store with a connection, and syncs between them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from connectors import registry
from connectors.connections.store import Connections
from topics.event.codec import decode
from topics.event.event import Event, Operation
from topics.event.result import Outcome, Result, pack
from topics.log import Log, Partition
from topics.settings import Settings
from topics.store import open_store
from topics.warehouse import open_warehouse, warehouse_url
from worker.clock import SystemClock
from worker.syncs.definition.model import Sync
from worker.syncs.run.run import Asked, Ended, Runner

COLUMNS = "id, email, name, age, changed_at"
TABLE = "CREATE TABLE people (id INTEGER PRIMARY KEY, email TEXT, name TEXT, age INTEGER, changed_at INTEGER)"


class World:
    """One installation; ``deliver`` stands for its worker, ``destination`` for the vendor."""

    def __init__(self, folder: Path, warehouse: str, *, log: str | None = None, prefix: str = "writeback") -> None:
        self.settings = Settings(
            log=log or f"sqlite:///{folder}/log.db",
            prefix=prefix,
            single_host=True,
            store=f"sqlite:///{folder}/store.db",
            warehouse=warehouse,
            syncs=folder / "syncs",
            secret_key="a long random text for the tests",
        )
        self.log: Log = self.settings.open_log()
        self.store: Engine = open_store(self.settings.store)
        self.warehouse = open_warehouse(warehouse_url(warehouse))
        connections = Connections(self.store, self.settings.secret_key, check=registry.check)
        connections.add("Crm", "hubspot", secrets={"access_token": "t"})
        self.runner = Runner(self.settings, self.store, self.log, SystemClock())
        self.destination: dict[str, dict[str, Any]] = {}
        self.delivered: list[Event] = []
        self.refuse: Callable[[Event], bool] = lambda _event: False
        self._at = 0
        self.write(TABLE)

    def write(self, *statements: str) -> None:
        with self.warehouse.begin() as connection:
            for statement in statements:
                connection.execute(text(statement))

    def people(self, first: int, last: int) -> None:
        values = ", ".join(f"({n}, 'u{n}@acme.com', 'U{n}', {n % 90}, {n})" for n in range(first, last + 1))
        self.write(f"INSERT INTO people VALUES {values}")

    def run(self, sync: Sync, **asked: Any) -> Ended:
        return self.runner.run(sync, Asked("a test", **asked))

    def events(self) -> list[Event]:
        """What came into the log since the last call."""
        topic = self.log.names.events_topic("crm")
        if topic not in self.log.topics():
            return []
        place = Partition(topic, 0)
        end = self.log.end_offsets([place])[place]
        reader, found = self.log.reader({place: self._at}), []
        while reader.position(place) < end:
            found += [decode(record) for record in reader.poll(1.0)]
        reader.close()
        self._at = end
        return found

    def deliver(self) -> list[Event]:
        """What a worker and the vendor do with it, and the ledger about it."""
        events = self.events()
        results = []
        for event in events:
            dead = self.refuse(event)
            results.append(self._result(event, "dead" if dead else "delivered"))
            if not dead:
                self._at_the_vendor(event)
                self.delivered.append(event)
        producer = self.log.producer()
        for start in range(0, len(results), 500):
            producer.send(self.log.names.results, key=None, value=pack(results[start : start + 500])).result()
        producer.close()
        self.runner.outcomes().catch_up()
        return events

    def tell(self, event: Event, outcome: Outcome) -> None:
        """One more word of the ledger about an event: a letter of it was replayed."""
        producer = self.log.producer()
        producer.send(self.log.names.results, key=None, value=pack([self._result(event, outcome)])).result()
        producer.close()
        self.runner.outcomes().catch_up()

    def _at_the_vendor(self, event: Event) -> None:
        key = str(event.fields.get("id") or event.fields["email"])
        if event.operation is Operation.DELETE:
            self.destination.pop(key, None)
        else:
            self.destination.setdefault(key, {}).update(event.fields)

    def _result(self, event: Event, outcome: Outcome) -> Result:
        place = self.log.names.events_topic("crm")
        letter = f"letter-{event.id[:8]}" if outcome == "dead" else None
        return Result(
            event.id, outcome, "crm", event.object, event.operation.value, event.key, place, 0, 0, 1, 0.0, letter=letter
        )

    def close(self) -> None:
        self.log.close()
        self.store.dispose()
        self.warehouse.dispose()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """On SQLite: quick."""
    made = World(tmp_path, f"sqlite:///{tmp_path}/warehouse.db")
    yield made
    made.close()


@pytest.fixture
def any_world(tmp_path: Path, warehouse_url: str) -> Iterator[World]:
    """On each database that is tested for real."""
    made = World(tmp_path, warehouse_url)
    yield made
    made.close()


def sync_of(**changes: Any) -> Sync:
    given: dict[str, Any] = {
        "name": "people",
        "table": "people",
        "key": "id",
        "connection": "Crm",
        "object": "contact",
        "map": {"email": "email", "name": "firstname", "age": "age"},
    }
    return Sync.model_validate({**given, **changes})
