"""Records of transactions: what was rolled back is there for nobody, and markers keep nobody waiting."""

from __future__ import annotations

import re
from collections.abc import Iterator
from uuid import uuid4

import pytest
from kafka import codec

from tests.conformance.log_harness import PATIENCE, Member, read_all
from tests.kafka_broker import Broker
from tests.topics.kafka.librdkafka import Transactions, plain, write
from topics.kafka.log import KafkaLog
from topics.log import Commit, Lag, Partition, waiting
from topics.log.backlog import read_to_end
from topics.log.waiting import count_waiting
from topics.names import TopicSpec

pytestmark = pytest.mark.kafka


@pytest.fixture
def log(kafka: Broker) -> Iterator[KafkaLog]:
    log = KafkaLog([kafka.bootstrap], {})
    yield log
    log.close()


@pytest.fixture
def transactions(kafka: Broker) -> Transactions:
    return Transactions(kafka.bootstrap)


@pytest.fixture
def place(log: KafkaLog) -> Partition:
    name = f"transactions-{uuid4().hex}"
    log.ensure_topics([TopicSpec(name)])
    return Partition(name, 0)


async def test_only_committed_records_are_handed_out(
    log: KafkaLog, transactions: Transactions, place: Partition
) -> None:
    """A consumer gets what was committed, in order, and never what was rolled back."""
    for round_ in range(20):
        transactions.commit(place.topic, plain(b"yes %d" % round_), plain(b"and %d" % round_))
        transactions.abort(place.topic, plain(b"NO %d" % round_))
    async with Member(log, f"group-{uuid4().hex}", re.escape(place.topic)) as member:
        await member.until(lambda: len(member.records) >= 40)

    assert member.values == [word % round_ for round_ in range(20) for word in (b"yes %d", b"and %d")]


async def test_an_open_transaction_is_waited_for(log: KafkaLog, transactions: Transactions, place: Partition) -> None:
    """Records of a transaction that is open are not handed out and not counted; what lies behind it waits for it."""
    transactions.commit(place.topic, plain(b"first"))
    second = Transactions(log._address._common["bootstrap_servers"][0])
    group = f"group-{uuid4().hex}"
    async with Member(log, group, re.escape(place.topic)) as member:
        with transactions.open(place.topic, plain(b"NO")):
            second.commit(place.topic, plain(b"behind it"))
            await member.until(lambda: member.records)
            for _ in range(4):
                await member.poll()

            assert member.values == [b"first"]
            assert log.end_offsets([place]) == {place: member.consumer.position(place)}
        await member.until(lambda: len(member.records) == 2)

    assert member.values == [b"first", b"behind it"]


async def test_markers_are_passed(log: KafkaLog, transactions: Transactions, place: Partition) -> None:
    """The position of a consumer goes past markers and what was rolled back: a commit of it leaves no lag."""
    transactions.commit(place.topic, plain(b"one"))
    transactions.abort(place.topic, plain(b"NO"), plain(b"NO"))
    group = f"group-{uuid4().hex}"
    async with Member(log, group, re.escape(place.topic)) as member:
        await member.until(lambda: member.consumer.position(place) == 5)
        await member.consumer.commit({place: Commit(5)})

        assert member.values == [b"one"]
        assert log.lag(group, place.topic)[place].records == 0
        transactions.abort(place.topic, plain(b"NO"))  # nothing but markers comes now
        await member.until(lambda: member.consumer.position(place) == 7)
        assert log.end_offsets([place]) == {place: 7}


async def test_a_seek_takes_the_position_back(log: KafkaLog, transactions: Transactions, place: Partition) -> None:
    """A position that came before a seek is not taken for one behind it."""
    transactions.commit(place.topic, plain(b"one"))
    transactions.abort(place.topic, plain(b"NO"))
    async with Member(log, f"group-{uuid4().hex}", re.escape(place.topic)) as member:
        await member.until(lambda: member.consumer.position(place) == 4)

        for _ in range(20):
            member.consumer.seek(place, 0)
            assert member.consumer.position(place) == 0
            await member.until(lambda: member.consumer.position(place) == 4)

    assert member.values == [b"one"] * 21


def test_a_reader_comes_to_the_end(log: KafkaLog, transactions: Transactions, place: Partition) -> None:
    """Reading to the end does not wait for a record where only markers are left, nor hand out what was rolled back."""
    transactions.commit(place.topic, plain(b"one"))
    transactions.abort(place.topic, plain(b"NO"))

    assert [record.value for records in read_to_end(log, {place: 0}) for record in records] == [b"one"]
    reader = log.reader({place: 0})
    assert [record.value for record in read_all(reader, 1, PATIENCE)] == [b"one"]


async def test_markers_do_not_wait(
    log: KafkaLog, transactions: Transactions, place: Partition, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While no worker runs, what waits is counted: records, and neither markers nor what was rolled back."""
    group = f"group-{uuid4().hex}"
    transactions.commit(place.topic, plain(b"one"))
    async with Member(log, group, re.escape(place.topic)) as member:
        await member.until(lambda: member.records)
        await member.consumer.commit({place: Commit(1)})

    assert count_waiting(log, group, place.topic)[place] == Lag(1, 2, counted=0)
    transactions.abort(place.topic, plain(b"NO"), plain(b"NO"))
    transactions.commit(place.topic, plain(b"two"), plain(b"three"))
    assert count_waiting(log, group, place.topic)[place] == Lag(1, 8, counted=2)
    assert count_waiting(log, "nobody", place.topic)[place] == Lag(None, 8, counted=3)
    monkeypatch.setattr(waiting, "COUNTED", 6)
    assert count_waiting(log, group, place.topic)[place].shown == "at most 7"


async def test_what_cannot_be_read_waits(
    log: KafkaLog, kafka: Broker, place: Partition, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not counted, and no worker has delivered it."""
    monkeypatch.setattr(codec, "has_zstd", lambda: False)
    write(kafka.bootstrap, place.topic, plain(b"x" * 500), plain(b"x" * 500), codec="zstd")

    lag = count_waiting(log, "nobody", place.topic)[place]

    assert (lag.shown, lag.exact) == ("at most 2", False)
