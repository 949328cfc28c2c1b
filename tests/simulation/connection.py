"""A simulated connection with what survives its worker: topics, parked keys, what was produced."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from concurrent.futures import Future

from connectors.connections.store import Connection
from dead_letter.letter.letter import decode
from dead_letter.store.parking import Parked
from tests.simulation.vendor import Odds, SimConnector, Vendor
from topics import names
from topics.log import Content, Failures, Headers, Partition, Position, Record
from worker.clock import FakeClock
from worker.engine.dispatch.dispatch import Dispatcher
from worker.engine.lane.parking import KeyPark
from worker.engine.ports import DispatchContext


class SimProducer:
    """Takes everything, at once. ``vendors``: by slug, who is told of letters."""

    def __init__(self, vendors: Mapping[str, Vendor]) -> None:
        self._vendors = vendors
        self.records: list[tuple[str, bytes | None, bytes | None, Headers]] = []

    def send(
        self,
        topic: str,
        *,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
        partition: int | None = None,
        timestamp_ms: int | None = None,
    ) -> Future[Position]:
        self.records.append((topic, key, value, headers))
        if topic == names.DEFAULT.dead_letter:
            letter = decode(Record(Partition(topic, 0), 0, 0, key, value, headers))
            self._vendors[letter.connection].dead_lettered.add(letter.event_id or "")
        future: Future[Position] = Future()
        future.set_result(Position(Partition(topic, partition or 0), len(self.records) - 1))
        return future

    def send_all(self, topic: str, contents: Sequence[Content]) -> Future[Failures]:
        for key, value, headers in contents:
            self.send(topic, key=key, value=value, headers=headers)
        future: Future[Failures] = Future()
        future.set_result({})
        return future

    def flush(self, timeout: float | None = None) -> None:
        pass

    def close(self, timeout: float | None = None) -> None:
        pass


class SimParkedKeyStore:
    """The store's parked keys; they survive the worker."""

    def __init__(self) -> None:
        self.rows: dict[str, Parked] = {}

    async def park(
        self, connection: str, record_key: str, letter: str, *, offset: int, barred: bool
    ) -> tuple[str, int]:
        row = self.rows.get(record_key)
        first = (row.first, row.offset) if row else (letter, offset)
        self.rows[record_key] = Parked(connection, record_key, *first, letter, barred, 0.0)
        return first

    async def close(self, connection: str, record_key: str, letter: str) -> bool:
        return False


class SimConnection:
    """One of a world's connections: how it is set, its destination, and what carries it in this life of the worker."""

    def __init__(self, slug: str, dice: random.Random, odds: Odds) -> None:
        self.slug = slug
        self.coalesce = dice.random() < 0.5
        self.parked_keys = SimParkedKeyStore() if dice.random() < 0.4 else None
        self.concurrency = dice.choice([1, 2, 6])
        self.keys = dice.choice([6, 40])
        topic = names.DEFAULT.events_topic(slug)
        self.partitions = [Partition(topic, number) for number in range(dice.choice([1, 1, 8]))]
        self.vendor = Vendor(dice, odds)
        self.connector: SimConnector
        self.dispatcher: Dispatcher

    def open(self, context: DispatchContext, clock: FakeClock) -> None:
        self.vendor.life += 1
        self.connector = SimConnector(self.vendor, clock, self.concurrency)
        park = KeyPark(self.slug, self.parked_keys, self.parked_keys.rows.values()) if self.parked_keys else None
        policy = {"coalesce": self.coalesce}
        connection = Connection(1, self.slug, "Sim", "sim", "1", {}, {}, policy, len(self.partitions), "active", "", 1)
        self.dispatcher = Dispatcher(connection, self.connector, context, park)  # type: ignore[arg-type]
