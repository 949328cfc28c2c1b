"""What a partition of Kafka cannot be read at: told to its owner, with the bytes that are there and where they end."""

from __future__ import annotations

import re
from typing import Any
from uuid import uuid4

import pytest
from kafka import codec

from tests.conformance.log_harness import Member
from tests.kafka_broker import Broker
from tests.topics.kafka.librdkafka import plain, write
from topics.kafka.log import KafkaLog
from topics.kafka.poller import Poller
from topics.log import Partition
from topics.names import TopicSpec

pytestmark = pytest.mark.kafka


async def test_a_batch_that_cannot_be_read(kafka: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    """A codec without its package: what lies before it is handed out, and what lies behind it after a seek there."""
    log = KafkaLog([kafka.bootstrap], {})
    place = Partition(f"unreadable-{uuid4().hex}", 0)
    log.ensure_topics([TopicSpec(place.topic)])
    write(kafka.bootstrap, place.topic, plain(b"before"), codec="none")
    write(kafka.bootstrap, place.topic, *(plain(b"%d" % n * 50) for n in range(3)), codec="zstd")
    write(kafka.bootstrap, place.topic, plain(b"behind"), codec="none")
    monkeypatch.setattr(codec, "has_zstd", lambda: False)

    async with Member(log, f"group-{uuid4().hex}", re.escape(place.topic)) as member:
        await member.until(lambda: member.held)
        values = list(member.values)
        (found,) = member.held
        assert found.after is not None
        member.consumer.seek(place, found.after)
        await member.until(lambda: len(member.records) == 2)
    log.close()

    assert values == [b"before"]
    assert (found.partition, found.offset, found.after) == (place, 1, 4)
    assert "compressed with zstd" in found.reason
    assert found.record is not None
    assert (found.record.offset, len(found.record.value or b"") > 61) == (1, True)
    assert member.values == [b"before", b"behind"]


async def test_a_pause_before_it_is_told(kafka: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    """A partition is paused when what could be read was handed out: the error comes after the pause."""
    log = KafkaLog([kafka.bootstrap], {})
    place = Partition(f"unreadable-{uuid4().hex}", 0)
    log.ensure_topics([TopicSpec(place.topic)])
    write(kafka.bootstrap, place.topic, plain(b"before"), codec="none")
    write(kafka.bootstrap, place.topic, *(plain(b"%d" % n * 50) for n in range(3)), codec="zstd")
    monkeypatch.setattr(codec, "has_zstd", lambda: False)
    obey = Poller._obey
    rounds: list[Any] = []

    def pause_in_between(self: Poller, consumer: Any) -> None:
        obey(self, consumer)
        if consumer._fetcher._next_in_line_exception_metadata is not None or rounds:
            rounds.append(consumer)
            if len(rounds) == 1:
                consumer.pause(*consumer.assignment())
            elif len(rounds) == 4:
                consumer.resume(*consumer.assignment())

    monkeypatch.setattr(Poller, "_obey", pause_in_between)
    async with Member(log, f"group-{uuid4().hex}", re.escape(place.topic)) as member:
        await member.until(lambda: member.held)
    log.close()

    assert rounds
    assert member.values == [b"before"]
    assert member.held[0].offset == 1
