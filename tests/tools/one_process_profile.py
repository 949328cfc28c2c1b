"""A whole worker on the embedded log and store, with a SaaS inside the process that does what a test tells it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tenacity import wait_none

from connectors.connections.store import Connection, Connections
from connectors.contract import (
    Absent,
    Answer,
    Connector,
    Delivered,
    Down,
    Finding,
    Function,
    Limits,
    Page,
    Quota,
    Throttled,
    Verdict,
)
from connectors.errors import UnknownFunction
from dead_letter.letter.letter import Letter, decode
from dead_letter.store.parking import Parking
from topics import names
from topics.event import codec
from topics.event.event import Event, Operation
from topics.event.result import Result, unpack
from topics.log import Headers, Partition, Record
from topics.open import open_log
from topics.store import open_store
from topics.store.orders import Orders
from worker.engine.decide.retry import Line, RetryPolicy
from worker.worker import Worker, WorkerSettings

PATIENCE = 30.0
KEY = "0" * 43 + "="
"""32 bytes, base64: a key for the secrets of a test."""
AT_ONCE = RetryPolicy(lines={kind: Line(2, wait_none()) for kind in ("no_answer", "connection", "server")})

FUNCTIONS = {
    Operation.UPSERT: Function("contact", Operation.UPSERT, batch_max=10, idempotent=True),
    Operation.ADD: Function("contact", Operation.ADD, findable=True, settle_after=0.01),
    Operation.DELETE: Function("contact", Operation.DELETE),
}


class Saas:
    """Takes everything unless it is told otherwise. ``open``: cleared, its calls hang until it is set."""

    name = "acme"
    version = "1.0"

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.answer: Callable[[Event], Verdict] = lambda event: Delivered({"id": event.id}, id=f"v-{event.id}")
        self.finding: Callable[[Event], Finding] = lambda _: Absent()
        self.state: Delivered | Down | Throttled = Delivered()
        self.open = asyncio.Event()
        self.open.set()
        self.batches: list[list[Event]] = []
        self.asked: list[Event] = []
        self.probes = 0
        self.built = 0
        self.closed = 0

    @property
    def seen(self) -> list[str]:
        return [event.id for batch in self.batches for event in batch]

    def function(self, object_name: str, operation: Operation) -> Function:
        if object_name != "contact" or operation not in FUNCTIONS:
            raise UnknownFunction(f"unknown function {operation} {object_name}: connector acme 1.0 has contact")
        return FUNCTIONS[operation]

    def refuses(self, object_name: str, operation: Operation, fields: Mapping[str, Any]) -> str | None:
        return None

    def record_key(self, object_name: str, operation: Operation, fields: Mapping[str, Any]) -> str | None:
        return None

    async def deliver(self, batch: Sequence[Event]) -> list[Verdict]:
        self.batches.append(list(batch))
        await self.open.wait()
        return [self.answer(event) for event in batch]

    async def find(self, events: Sequence[Event]) -> list[Finding]:
        self.asked += events
        return [self.finding(event) for event in events]

    async def read(self, object_name: str, query: Mapping[str, Any], bookmark: str | None = None) -> Page:
        raise AssertionError("the worker reads nothing")

    async def call(
        self,
        path: str,
        *,
        method: str = "get",
        body: Any = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        raise AssertionError("the worker makes no raw calls")

    async def probe(self) -> Delivered | Down | Throttled:
        self.probes += 1
        return self.state

    def quota(self) -> Quota | None:
        return None

    async def close(self) -> None:
        self.closed += 1


class Bench:
    """``saas``: by slug, the destination of each connection. ``reads``: connections that a refresh reads.

    ``log``: the URL of a log; else it is the embedded one in the folder.
    """

    def __init__(self, folder: Path, log: str = "") -> None:
        self._url = log or f"sqlite:///{folder / 'log.db'}"
        self.log = open_log(self._url)
        self.log.ensure_topics(names.DEFAULT.system_topics)
        self.producer = self.log.producer(max_record_bytes=2_000_000)
        self._store = open_store(f"sqlite:///{folder / 'store.db'}")
        self.connections = Connections(self._store, KEY)
        self.parking = Parking(self._store)
        self.orders = Orders(self._store)
        self.saas: dict[str, Saas] = {}
        self.reads: set[str] = set()

    def connect(self, slug: str = "acme", **changes: Any) -> Saas:
        self.connections.add(slug, "acme", **changes)
        self.log.ensure_topics([names.DEFAULT.events_spec(slug, changes.get("partitions", 1))])
        saas = self.saas[slug] = Saas()
        return saas

    def close(self) -> None:
        self.producer.close(5)
        self.log.close()
        self._store.dispose()

    # -- the worker -------------------------------------------------------------------------------------------------

    def worker(self, **changes: Any) -> Worker:
        return Worker(
            log=self.log,
            connections=self.connections,
            build=self._build,
            settings=WorkerSettings(**{"grace_seconds": 5.0} | changes),
            policy=AT_ONCE,
            parking=self.parking,
            orders=self.orders,
            reads=lambda: self.reads,
        )

    def _build(self, connection: Connection, secrets: Mapping[str, str]) -> Connector:
        saas = self.saas[connection.slug]
        saas.built += 1
        return saas

    def start(self, worker: Worker, stop: asyncio.Event) -> asyncio.Task[None]:
        self._running = asyncio.create_task(worker.run(stop))
        return self._running

    @asynccontextmanager
    async def working(self, **changes: Any) -> AsyncIterator[Worker]:
        """A worker that runs, and is stopped in good order."""
        stop = asyncio.Event()
        worker = self.worker(**changes)
        running = self.start(worker, stop)
        try:
            yield worker
        finally:
            stop.set()
            await asyncio.wait_for(running, PATIENCE)

    async def eventually(self, condition: Callable[[], object]) -> None:
        """Until the condition is true, as soon as it is; fails at once with the worker's own error."""
        async with asyncio.timeout(PATIENCE):
            while not condition():
                if self._running.done():
                    self._running.result()
                await asyncio.sleep(0.01)

    # -- what goes in -----------------------------------------------------------------------------------------------

    def send(
        self,
        value: bytes | None,
        *,
        slug: str = "acme",
        key: bytes | None = b"k",
        headers: Headers = (),
        partition: int | None = None,
    ) -> int:
        sent = self.producer.send(
            names.DEFAULT.events_topic(slug), key=key, value=value, headers=headers, partition=partition
        )
        return sent.result(PATIENCE).offset

    def emit(self, *events: Event, slug: str = "acme", partition: int | None = None) -> None:
        for event in events:
            encoded = codec.encode(event)
            self.producer.send(
                names.DEFAULT.events_topic(slug),
                key=encoded.key,
                value=encoded.value,
                headers=encoded.headers,
                partition=partition,
            )
        self.producer.flush(PATIENCE)

    # -- what comes out ---------------------------------------------------------------------------------------------

    def records(self, topic: str) -> list[Record]:
        partitions = [Partition(topic, number) for number in range(self.log.topics()[topic])]
        ends = self.log.end_offsets(partitions)
        reader = self.log.reader(dict.fromkeys(partitions, 0))
        records: list[Record] = []
        while len(records) < sum(ends.values()):
            records += reader.poll(1.0)
        reader.close()
        return records

    def letters(self) -> list[Letter]:
        return [decode(record) for record in self.records(names.DEFAULT.dead_letter)]

    def results(self) -> list[Result]:
        return [result for record in self.records(names.DEFAULT.results) for result in unpack(record.value)]

    def replies(self) -> list[Result]:
        return [result for record in self.records(names.DEFAULT.replies) for result in unpack(record.value)]

    def committed(self, slug: str = "acme", number: int = 0) -> int:
        partition = Partition(names.DEFAULT.events_topic(slug), number)
        commit = self.log.committed(names.DEFAULT.worker_group, [partition])[partition]
        return commit.offset if commit else 0
