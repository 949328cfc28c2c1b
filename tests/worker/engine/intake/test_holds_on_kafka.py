"""Commits that a Kafka group has lost: what its broker forgets is not delivered again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from kafka.admin import KafkaAdminClient

from connectors.connections.store import Connection, Connections
from connectors.contract import Connector
from tests.kafka_broker import Broker
from tests.tools.one_process_profile import Saas
from tests.worker.samples import event
from topics import names
from topics.event import codec
from topics.log import Log, Partition
from topics.open import open_log
from topics.orders import Order, Orders
from topics.store import open_store
from worker.worker import Worker, WorkerSettings

pytestmark = pytest.mark.kafka
PATIENCE = 90.0


class Stage:
    """A connection of its own on the shared broker, and workers of a group of their own."""

    def __init__(self, log: Log, folder: Path) -> None:
        self.log = log
        self.store = open_store(f"sqlite:///{folder}/store.db")
        self.orders = Orders(self.store)
        self.connections = Connections(self.store)
        self.group = f"holds-{uuid4().hex[:8]}"
        self.slug = f"holds-{uuid4().hex[:8]}"
        self.place = Partition(names.DEFAULT.events_topic(self.slug), 0)
        self.saas = Saas()
        self.connections.add(self.slug, "acme")
        log.ensure_topics([names.DEFAULT.events_spec(self.slug)])

    def emit(self, *numbers: int) -> None:
        producer = self.log.producer()
        for number in numbers:
            of = event(number, connection=self.slug)
            producer.send(self.place.topic, **codec.encode(of)._asdict())
        producer.close(30)

    def committed(self) -> int | None:
        commit = self.log.committed(self.group, [self.place])[self.place]
        return commit.offset if commit else None

    @asynccontextmanager
    async def working(self) -> AsyncIterator[Worker]:
        stop = asyncio.Event()

        def build(_connection: Connection, _secrets: dict[str, str]) -> Connector:
            return self.saas

        worker = Worker(
            log=self.log,
            connections=self.connections,
            build=build,
            orders=self.orders,
            settings=WorkerSettings(group=self.group, grace_seconds=5.0),
        )
        running = asyncio.create_task(worker.run(stop))
        try:
            yield worker
        finally:
            stop.set()
            await asyncio.wait_for(running, PATIENCE)


@pytest.fixture
def stage(kafka: Broker, tmp_path: Path) -> Iterator[Stage]:
    log = open_log(f"kafka://{kafka.bootstrap}")
    log.ensure_topics(names.DEFAULT.system_topics)
    stage = Stage(log, tmp_path)
    yield stage
    log.delete_topic(stage.place.topic)
    log.close()
    stage.store.dispose()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await asyncio.to_thread(condition):  # noqa: ASYNC110 - a broker tells nobody
            await asyncio.sleep(0.05)


def held(worker: Worker, slug: str) -> bool:
    standing = worker.observer.states.current.get(slug)
    return standing is not None and standing.state == "held"


async def test_a_group_that_was_deleted(stage: Stage, kafka: Broker) -> None:
    """Held with its reason, nothing goes out again; told so, it goes on with what has no outcome in the ledger."""
    async with stage.working():
        stage.emit(0, 1, 2)
        await until(lambda: stage.committed() == 3)
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    admin.delete_groups([stage.group])
    admin.close()
    stage.emit(3)
    stage.saas.batches.clear()
    async with stage.working() as worker:
        await until(lambda: held(worker, stage.slug))
        before = list(stage.saas.seen)
        stage.orders.give([Order(stage.place, "ledger", 4, "ops", 1.0)])
        await until(lambda: stage.committed() == 4)
        await until(lambda: not held(worker, stage.slug))
    (order,) = stage.orders.of([stage.place])

    assert before == []
    assert stage.saas.seen == ["e3"]
    assert order.answer == "goes on at offset 3: what has no outcome goes out (1)"
