"""An installation with a Slack, a mail server and a CRM, a warehouse, and alerts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from connectors import registry
from connectors.connections.standing import Standing
from connectors.connections.store import Connections
from topics.event.codec import decode
from topics.event.event import Event
from topics.event.result import Outcome, Result, pack
from topics.log import Partition
from topics.settings import Settings
from topics.store import open_store
from topics.warehouse import open_warehouse, warehouse_url
from worker.alerts.definition import Alert
from worker.alerts.state import AlertStates
from worker.alerts.watch import Watch
from worker.clock import SystemClock

KEY = "a long random text for the tests"


class World:
    """``says``: what came into the topics since it was last asked."""

    def __init__(self, folder: Path) -> None:
        self.settings = Settings(
            log=f"sqlite:///{folder}/log.db",
            store=f"sqlite:///{folder}/store.db",
            warehouse=f"sqlite:///{folder}/warehouse.db",
            alerts=folder / "alerts",
            secret_key=KEY,
        )
        self.log, self.store = self.settings.open_log(), open_store(self.settings.store)
        self.warehouse = open_warehouse(warehouse_url(self.settings.warehouse))
        self.connections = Connections(self.store, KEY, check=registry.check)
        self.connections.add("slack", "slack", secrets={"access_token": "t"})
        self.connections.add(
            "mail", "email", settings={"host": "127.0.0.1", "sender": "wb@acme.com", "security": "none"}
        )
        self.connections.add("crm", "hubspot", secrets={"access_token": "t"})
        self.states = AlertStates(self.store)
        self.watch = Watch(self.settings, self.store, self.log, SystemClock(), folder / "alerts")
        self._read: dict[Partition, int] = {}
        self.write("CREATE TABLE imports (id INTEGER PRIMARY KEY, mail TEXT, failed BOOLEAN)")

    def write(self, statement: str) -> None:
        with self.warehouse.begin() as connection:
            connection.execute(text(statement))

    def stands(self, slug: str, state: Any, reason: str = "") -> None:
        """What a worker that lives says of the connection."""
        self.connections.saw("worker", "worker", 1, [Standing(slug, state, reason)])

    def look(self, alert: Alert) -> list[Event]:
        self.watch.look(alert)
        return self.says()

    def says(self) -> list[Event]:
        found: list[Event] = []
        topics = self.log.topics(self.log.names.events_prefix)
        places = [Partition(name, number) for name, count in topics.items() for number in range(count)]
        ends = self.log.end_offsets(places)
        reader = self.log.reader({place: self._read.get(place, 0) for place in places})
        while any(reader.position(place) < end for place, end in ends.items()):
            found += [decode(record) for record in reader.poll(1.0)]
        reader.close()
        self._read = dict(ends)
        return sorted(found, key=lambda event: event.time)

    def ended(self, event: Event, outcome: Outcome, vendor_id: str | None) -> None:
        """What a worker writes into the ledger."""
        topic = self.log.names.events_topic(event.connection)
        told = (event.connection, event.object, str(event.operation), event.key, topic, 0, 0, 1, 0.0, vendor_id)
        producer = self.log.producer()
        producer.send(self.log.names.results, key=None, value=pack([Result(event.id, outcome, *told)])).result()
        producer.close()

    def close(self) -> None:
        self.log.close()
        self.store.dispose()
        self.warehouse.dispose()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


def alert_of(**said: Any) -> Alert:
    return Alert.model_validate({"name": "trouble", "to": "slack:QA", **said})
