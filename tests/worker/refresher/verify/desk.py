"""Connections, what was delivered to them, and a warehouse as a refresh leaves it: what ``verify`` looks at."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from connectors import registry
from connectors.connections.store import Connections
from pq.warehouse.database import Database
from topics.cli.console import run
from topics.cli.context import CommandContext
from topics.event import codec
from topics.event.event import Event, Operation
from topics.event.result import Result, pack
from topics.log import Partition
from topics.names import DEFAULT
from topics.settings import Settings, load_settings
from topics.store import open_store
from topics.warehouse import open_warehouse, warehouse_url
from worker.refresher.leases import Lease
from worker.refresher.runs import Runs
from worker.refresher.verify.command import verify

NOON = 1_780_000_000.0
KEY = "a long random text for tests"


class Desk:
    """``said`` and ``warned``: what the last command wrote."""

    def __init__(self, folder: Path, warehouse: str, capsys: pytest.CaptureFixture[str]) -> None:
        self.warehouse = warehouse
        self._capsys = capsys
        urls = {name: f"sqlite:///{folder}/{name}.db" for name in ("log", "store")}
        self.settings: Settings = load_settings(**urls, warehouse=warehouse, secret_key=KEY)
        self.log = self.settings.open_log()
        self.log.ensure_topics(DEFAULT.system_topics)
        self.engine = open_store(self.settings.store)
        self._producer = self.log.producer(name="desk")
        self.said = self.warned = ""

    def connect(self, name: str, connector: str, settings: Mapping[str, Any], *secrets: str, **more: Any) -> None:
        known = {"allow_private_addresses": True, **settings}
        made = Connections(self.engine, KEY, check=registry.check)
        slug = made.add(name, connector, settings=known, secrets=dict.fromkeys(secrets, "x"), **more).slug
        self.log.ensure_topics([DEFAULT.events_spec(slug)])

    def deliver(
        self, connection: str, operation: str, kind: str, at: float, vendor_id: str | None = None, **fields: Any
    ) -> Event:
        """An event that a worker has delivered at that time."""
        event = Event(operation=Operation(operation), connection=connection, object=kind, fields=fields)
        topic = DEFAULT.events_topic(connection)
        place = self._producer.send(topic, **codec.encode(event)._asdict()).result(10)
        result = Result(
            event.id, "delivered", connection, kind, operation, None, topic, 0, place.offset, 1, at, vendor_id
        )
        self._producer.send(DEFAULT.results, key=None, value=pack([result]), timestamp_ms=int(at * 1_000)).result(10)
        return event

    def refreshed(self, connection: str, at: float, *objects: str) -> None:
        """A run that went well."""
        runs = Runs(self.engine)
        lease = Lease(connection, 1)
        run = runs.begin(
            f"run-{at}", lease, asked_by=["test"], requests=1, objects=objects or None,
            full=False, pending_writes=0, now=at,
        )  # fmt: skip
        runs.end(run.id, "ok", rows={}, error="", now=at + 1)

    def bring(self, schema: str, table: str, *rows: dict[str, Any]) -> None:
        """Rows as a refresh would have left them."""
        database = Database("dw", open_warehouse(warehouse_url(self.warehouse)))
        database.write(schema, table, list(rows), pk="id")
        database.close()

    def verify(self, *arguments: str) -> int:
        code = run(verify, CommandContext(lambda: self.settings), arguments)
        self.said, self.warned = self._capsys.readouterr()
        return code

    def told(self, *arguments: str) -> tuple[int, list[dict[str, Any]]]:
        """The exit code and the lines of JSON, the summary as the last."""
        code = self.verify(*arguments, "--json")
        return code, [json.loads(line) for line in self.said.splitlines()]

    def sent(self, connection: str) -> list[Event]:
        """The events on its topic."""
        place = Partition(DEFAULT.events_topic(connection), 0)
        end = self.log.end_offsets([place])[place]
        reader = self.log.reader({place: 0})
        found: list[Event] = []
        while len(found) < end:
            found += [codec.decode(record) for record in reader.poll(1.0)]
        reader.close()
        return found

    def forget_events(self, connection: str) -> None:
        """What retention does."""
        place = Partition(DEFAULT.events_topic(connection), 0)
        self.log.trim({place: self.log.end_offsets([place])[place]})

    def close(self) -> None:
        self._producer.close(5.0)
        self.log.close()
        self.engine.dispose()
