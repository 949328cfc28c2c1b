"""What holds a partition on a real Kafka, and the orders that end it; all that it is held for: ``test_holds.py``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from kafka import KafkaAdminClient, codec

from tests.kafka_broker import Broker
from tests.tools.one_process_profile import Bench
from tests.topics.kafka.librdkafka import Transactions, write
from tests.worker.samples import event
from topics import names
from topics.event.codec import Encoded, encode
from topics.event.result import Result, pack
from topics.log import Partition
from topics.open import open_log
from topics.store.orders import Order, OrderKind
from worker.engine.intake.evidence import gather
from worker.engine.progress.metadata import Memory
from worker.worker import Worker

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]

GONE: dict[str, tuple[OrderKind, list[str], str]] = {
    "from-ledger": ("ledger", ["e2", "e3"], "goes on at offset 2: what has no outcome goes out (2)"),
    "from-start": (
        "start",
        ["e0", "e1", "e2", "e3"],
        "goes on from its first record, offset 0: all of it goes out (again)",
    ),
    "from-end": ("end", [], "goes on at offset 4: what lay before it is passed, undelivered"),
}
"""By slug: the order, what it delivers again, and what the worker answers."""


@pytest.fixture
def bench(kafka: Broker, tmp_path: Path) -> Iterator[Bench]:
    url = f"kafka://{kafka.bootstrap}"
    log = open_log(url)
    for topic in log.topics("writeback."):
        log.delete_topic(topic)
    log.close()
    bench = Bench(tmp_path, url)
    yield bench
    bench.close()


def place(slug: str) -> Partition:
    return Partition(names.DEFAULT.events_topic(slug), 0)


def held(worker: Worker, slug: str) -> str:
    """Why, or nothing while it is not."""
    worker.observer.look()
    standing = worker.observer.states.current.get(slug)
    return standing.reason if standing is not None and standing.state == "held" else ""


def order(bench: Bench, slug: str, kind: OrderKind) -> None:
    partition = place(slug)
    bench.orders.give([Order(partition, kind, bench.log.end_offsets([partition])[partition], "ops", 1_700_000_000.0)])


def answer(bench: Bench, slug: str) -> str | None:
    (given,) = bench.orders.of([place(slug)])
    return given.answer


async def test_commits_that_are_gone(bench: Bench, kafka: Broker) -> None:
    """The group was deleted: each topic waits for its order, and goes on from where that says."""
    for slug in GONE:
        bench.connect(slug)
    async with bench.working():
        for slug in GONE:
            bench.emit(event(0, connection=slug), event(1, connection=slug), slug=slug)
        await bench.eventually(lambda: all(bench.committed(slug) == 2 for slug in GONE))
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    admin.delete_groups([names.DEFAULT.worker_group])
    admin.close()
    for slug in GONE:
        bench.saas[slug].batches.clear()
        bench.emit(event(2, connection=slug), event(3, connection=slug), slug=slug)
    async with bench.working() as worker:
        await bench.eventually(lambda: all(held(worker, slug) for slug in GONE))
        why = [held(worker, slug) for slug in GONE]
        before = [saas.seen for saas in bench.saas.values()]
        for slug, (kind, _, _) in GONE.items():
            order(bench, slug, kind)
        await bench.eventually(lambda: all(bench.committed(slug) == 4 for slug in GONE))
        await bench.eventually(lambda: all(answer(bench, slug) for slug in GONE))

    assert all("the group's commits are gone, and it was read before" in one for one in why)
    assert before == [[], [], []]
    for slug, (_, delivered, told) in GONE.items():
        assert sorted(bench.saas[slug].seen) == delivered
        assert answer(bench, slug) == told


async def test_a_batch_that_cannot_be_read_and_a_topic_of_nobody(
    bench: Bench, kafka: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The batch holds its partition and is passed with its bytes; what waits for no connection is dead-lettered."""
    saas = bench.connect("crm")
    bench.log.ensure_topics([names.DEFAULT.events_spec("ghost")])
    monkeypatch.setattr(codec, "has_zstd", lambda: False)
    large = [event(number, connection="crm", fields={"text": "x" * 500}) for number in (1, 2)]
    bench.emit(event(0, connection="crm"), slug="crm")
    write(kafka.bootstrap, place("crm").topic, *map(encode, large), codec="zstd")
    bench.emit(event(3, connection="crm"), slug="crm")
    write(kafka.bootstrap, place("ghost").topic, Encoded(b"k", json.dumps({"object": "contact"}).encode(), ()))
    async with bench.working() as worker:
        await bench.eventually(lambda: held(worker, "crm") and held(worker, "ghost"))
        await bench.eventually(lambda: bench.committed("crm") == 1)
        unread, unknown, before = held(worker, "crm"), held(worker, "ghost"), list(saas.seen)
        order(bench, "crm", "skip")
        order(bench, "ghost", "bury")
        await bench.eventually(lambda: bench.committed("crm") == 4 and bench.committed("ghost") == 1)
        await bench.eventually(lambda: answer(bench, "crm") and answer(bench, "ghost"))
    letters = {letter.connection: letter for letter in bench.letters()}

    assert "the batch at 1 is compressed with zstd" in unread
    assert "`writeback topics skip crm` goes on behind it" in unread
    assert "no connection has the slug 'ghost'" in unknown
    assert before == ["e0"]
    assert saas.seen == ["e0", "e3"]
    assert (letters["crm"].verdict, letters["crm"].record.offset) == ("unreadable", 1)
    assert len(letters["crm"].record.value or b"") > 61, "a batch, header and all"
    assert letters["ghost"].record.offset == 0
    assert answer(bench, "crm") == "goes on at offset 3, past what cannot be read; its bytes are in a dead letter"
    assert answer(bench, "ghost") == "what lay below offset 1 is dead-lettered"


def test_markers_of_transactions_miss_no_outcome(bench: Bench, kafka: Broker) -> None:
    """The markers and what was rolled back hold no record: one event is left, and is counted as one."""
    bench.connect("markers")
    partition, transactions = place("markers"), Transactions(kafka.bootstrap)
    one, two, three = (encode(event(number, connection="markers")) for number in range(3))
    transactions.commit(partition.topic, one)  # at offset 0, its marker behind it
    transactions.abort(partition.topic, two, two)  # 2 to 4
    transactions.commit(partition.topic, two)  # at offset 5
    transactions.commit(partition.topic, three)
    outcomes = [
        Result(name, "delivered", "markers", "contact", "upsert", None, *partition, offset, attempts=1, time=1.0)
        for name, offset in (("e0", 0), ("e1", 5))
    ]
    bench.producer.send(names.DEFAULT.results, key=b"markers", value=pack(outcomes)).result(10)

    evidence = gather(bench.log, [partition], 1_800_000_000_000)[partition]

    assert (evidence.left, evidence.exact) == (1, True)
    assert evidence.memory() == (7, Memory(announced=[(7, 8)], done=[(8, 9)]))
