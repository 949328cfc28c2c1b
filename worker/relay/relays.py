"""Runs a relay for each warehouse that has an outbox, also for those that get their first trigger later."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from connectors.connections.store import Connections
from connectors.errors import UnknownConnection
from topics.log import Log
from topics.outbox.engine import SUPPORTED, open_engine
from topics.outbox.errors import WarehouseUnavailable
from topics.outbox.tables import exist
from topics.settings import Settings
from topics.warehouse import explained, schema_files, warehouse_url
from worker.clock import Clock
from worker.log_events import logger
from worker.relay.relay import Relay

LOOK_S = 5.0
"""Seconds until a warehouse's first trigger is noticed, at the most."""


class Relays:
    """``find`` lists the warehouses that there are now."""

    def __init__(self, log: Log, connections: Connections, find: Callable[[], Iterator[URL]], clock: Clock) -> None:
        self._log = log
        self._connections = connections
        self._find = find
        self._clock = clock
        self.running: dict[URL, Relay] = {}
        self._told: set[URL] = set()
        self._looked = False

    async def run(self, stop: asyncio.Event) -> None:
        """Run the relays until ``stop`` is set."""
        async with asyncio.TaskGroup() as tasks:
            while not stop.is_set():
                for url in await asyncio.to_thread(self._new):
                    relay = Relay(open_engine(url), self._log, self._partitions_of, self._clock)
                    self.running[url] = relay
                    tasks.create_task(relay.run(stop))
                self._looked = True
                try:
                    await asyncio.wait_for(stop.wait(), LOOK_S)
                except TimeoutError:
                    continue

    async def unready(self) -> str:
        """Why the relays cannot work; empty when they can."""
        return "" if self._looked else "the warehouses were not looked at yet"

    def _new(self) -> list[URL]:
        return [url for url in self._find() if url not in self.running and self._has_outbox(url)]

    def _has_outbox(self, url: URL) -> bool:
        if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
            return False  # to open the file would create it
        engine = open_engine(url)
        try:
            return exist(engine)
        except (WarehouseUnavailable, DBAPIError) as error:
            if url not in self._told:
                logger().warning("relay.warehouse_unavailable", error=explained(error))
                self._told.add(url)
            return False
        finally:
            engine.dispose()

    def _partitions_of(self, slug: str) -> int | None:
        try:
            return self._connections.get(slug).partitions
        except UnknownConnection:
            return None


def warehouses(settings: Settings) -> Iterator[URL]:
    """Every warehouse of the settings that can have triggers; of a SQLite warehouse, each file (schema) of it."""
    for given in (settings.warehouse, *settings.warehouses.values()):
        url = warehouse_url(given)
        if url.get_backend_name() in SUPPORTED:
            yield url
        if url.get_backend_name() == "sqlite":
            yield from (url.set(database=str(file)) for file in schema_files(url).values())


def relays(settings: Settings, log: Log, connections: Connections, clock: Clock) -> Relays:
    return Relays(log, connections, partial(warehouses, settings), clock)
