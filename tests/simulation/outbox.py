"""A simulated world whose events come out of an outbox: the real relay and SQLite, over a log that is in memory.

Two relays take turns. Each may be killed before its batch is in the log, when a part of it is, and when all of it is
and the rows are still there; or it hears nothing from the log, which has everything.
"""

from __future__ import annotations

import sqlite3
import tempfile
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, cast

from sqlalchemy import event as database_event
from sqlalchemy import make_url

from tests.simulation.connection import SimConnection
from tests.simulation.world import World
from topics import names
from topics.errors import LogUnavailable
from topics.event import codec
from topics.event.event import Event
from topics.log import Content, Failures, Log, Partition, Record
from topics.outbox.engine import open_engine
from topics.outbox.tables import make
from worker.relay.relay import STANDBY_S, Relay

INSERT = (
    "INSERT INTO writeback_outbox (id, aggregatetype, aggregateid, type, payload, timestamp, subject, trigger_name)"
    " VALUES (?, ?, ?, ?, ?, ?, '', 't')"
)


class Killed(BaseException):
    """As a process ends: nothing catches it."""


class Instant(threading.Event):
    """Nobody waits for it."""

    def wait(self, timeout: float | None = None) -> bool:
        return self.is_set()


class SimRelay(Relay):
    """One that stops when nothing waits, and reads a few rows at a time, so that it has pages behind each other."""

    batch = 3

    def work(self) -> float:
        self._stop = Instant()
        return self._relay()

    def _wait(self, reader: Any) -> None:
        self._stop.set()


class SimLog:
    """What a relay sees of a world's records; it is its own producer."""

    names = names.DEFAULT

    def __init__(self, world: OutboxWorld) -> None:
        self.world = world

    def ensure_topics(self, specs: Any) -> None:
        """They are there."""

    def topics(self, prefix: str = "") -> dict[str, int]:
        return dict(Counter(partition.topic for partition in self.world.records if partition.topic.startswith(prefix)))

    def end_offsets(self, partitions: Sequence[Partition]) -> dict[Partition, int]:
        return {partition: len(self.world.records[partition]) for partition in partitions}

    def reader(self, starts: Mapping[Partition, int], *, strict: bool = False) -> SimReader:
        return SimReader(self.world.records, starts)

    def producer(self, **_: Any) -> SimLog:
        return self

    def send_all(self, topic: str, contents: Sequence[Content]) -> Future[Failures]:
        world, future = self.world, Future[Failures]()
        of = next(one for one in world.connections if names.DEFAULT.events_topic(one.slug) == topic)
        fate = world.dice.choice(("well", "well", "well", "before", "part", "after", "silent"))
        assert all(other.work() == STANDBY_S for other in world.relays if other is not world.working)
        arrive = {"before": 0, "part": world.dice.randrange(len(contents))}.get(fate, len(contents))
        for content in contents[:arrive]:
            world.append(of, codec.Encoded(*cast("codec.Encoded", content)))
        if fate in {"before", "part", "after"}:
            raise Killed
        if fate == "silent":
            future.set_exception(LogUnavailable("no answer"))
        else:
            future.set_result({})
        return future

    def close(self, timeout: float | None = None) -> None:
        """Nothing is open."""


class SimReader:
    def __init__(self, records: Mapping[Partition, Sequence[Record]], starts: Mapping[Partition, int]) -> None:
        self._records, self._at = records, dict(starts)

    def poll(self, timeout: float) -> list[Record]:
        found = [record for place, start in self._at.items() for record in self._records[place][start:]]
        self._at = {place: len(self._records[place]) for place in self._at}
        return found

    def position(self, partition: Partition) -> int:
        return self._at[partition]

    def close(self) -> None:
        """Nothing is open."""


class OutboxWorld(World):
    """Its events are written into an outbox while it lives; ``kills``: how many relays have died."""

    def __post_init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="writeback-outbox-")
        self._file = Path(self._folder.name) / "warehouse.db"
        engine = open_engine(make_url(f"sqlite:///{self._file}"))
        database_event.listen(engine, "connect", lambda raw, _: raw.execute("PRAGMA synchronous = OFF"))
        with engine.begin() as connection:
            make(connection)
        self._writer = sqlite3.connect(self._file, isolation_level=None)
        compared = '{"unchanged": "drop"}' if self.seed % 2 else "{}"
        self._writer.execute("INSERT INTO writeback_triggers (name, definition) VALUES ('t', ?)", (compared,))
        self._unwritten: list[Event] = []
        self.kills = 0
        super().__post_init__()
        partitions = {one.slug: len(one.partitions) for one in self.connections}
        log = cast("Log", SimLog(self))
        self.relays = [SimRelay(engine, log, partitions.get, self.clock) for _ in range(2)]
        self.working = self.relays[0]

    def _produce(self, of: SimConnection, event: Event) -> None:
        self._unwritten.append(event)

    def _ended(self) -> bool:
        return not self._unwritten and not self._waiting() and super()._ended()

    def _waiting(self) -> int:
        [(count,)] = self._writer.execute("SELECT count(*) FROM writeback_outbox")
        return int(count)

    async def _step(self) -> None:
        roll = self.dice.random()
        if roll < 0.05 and self._unwritten:
            self._write(self.dice.randrange(1, 8))
        elif roll < 0.1 and self._waiting():
            self._relay()
        await super()._step()

    def _write(self, count: int) -> None:
        for event in self._unwritten[:count]:
            key, value, _ = codec.encode(event)
            row = (event.id, event.connection, key.decode(), f"writeback.{event.operation}", value.decode())
            self._writer.execute(INSERT, (*row, event.time.isoformat()))
        del self._unwritten[:count]

    def _relay(self) -> None:
        self.working = self.dice.choice(self.relays)
        try:
            self.working.work()
        except (Killed, LogUnavailable):
            self.kills += 1

    def check(self) -> None:
        """As every world, and each event is in its topic once."""
        super().check()
        times = Counter(codec.decode(record).id for log in self.records.values() for record in log)
        assert times == {f"e{number}": 1 for number in range(self.events)}

    def close(self) -> None:
        self._writer.close()
        self._folder.cleanup()
