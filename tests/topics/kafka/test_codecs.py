"""Batches that other people's producers have compressed are read."""

from __future__ import annotations

import re
from uuid import uuid4

import pytest

from tests.conformance.log_harness import Member, read_all
from tests.kafka_broker import Broker
from tests.topics.kafka.librdkafka import plain, write
from topics.kafka.log import KafkaLog
from topics.log import Partition
from topics.names import TopicSpec

pytestmark = pytest.mark.kafka


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
async def test_compressed_batches_are_read(codec: str, kafka: Broker) -> None:
    """Small and large batches of librdkafka come back byte for byte, to a consumer of a group and to a reader."""
    log = KafkaLog([kafka.bootstrap], {})
    name = f"codecs-{uuid4().hex}"
    log.ensure_topics([TopicSpec(name)])
    values = [b"one", b"", b"x" * 500_000, *(b"%d " % n * 40 for n in range(3_000))]
    write(kafka.bootstrap, name, *map(plain, values), codec=codec)

    async with Member(log, f"group-{uuid4().hex}", re.escape(name)) as member:
        await member.until(lambda: len(member.records) >= len(values))
    read = read_all(log.reader({Partition(name, 0): 0}), len(values))
    log.close()

    assert member.values == values
    assert [record.value for record in read] == values
    assert {tuple(record.headers) for record in read} == {(("a", b"1"),)}
