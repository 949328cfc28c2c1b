"""Writes records as other people's programs do: with librdkafka, in transactions, with every codec."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import confluent_kafka

from topics.event.codec import Encoded

SECONDS = 30.0


def plain(value: bytes) -> Encoded:
    return Encoded(b"k", value, (("a", b"1"),))


def write(bootstrap: str, topic: str, *records: Encoded, codec: str = "none") -> None:
    """Records in as few batches as possible; returns when all are acknowledged."""
    producer = confluent_kafka.Producer(
        {
            "bootstrap.servers": bootstrap,
            "linger.ms": 50,
            "compression.type": codec,
        }
    )
    _produce(producer, topic, records)


def _produce(producer: Any, topic: str, records: tuple[Encoded, ...]) -> None:
    for record in records:
        producer.produce(topic, key=record.key, value=record.value, headers=list(record.headers))
    assert producer.flush(SECONDS) == 0


class Transactions:
    """A transactional producer: what it writes is visible when ``commit`` returns, and never after ``abort``."""

    def __init__(self, bootstrap: str) -> None:
        self._producer: Any = confluent_kafka.Producer(
            {"bootstrap.servers": bootstrap, "transactional.id": f"test-{uuid4().hex}"}
        )
        self._producer.init_transactions(SECONDS)

    @contextmanager
    def open(self, topic: str, *records: Encoded) -> Iterator[None]:
        """Records that are in the partition, of a transaction that is still open; rolled back at the end."""
        self._write(topic, records)
        yield
        self._producer.abort_transaction(SECONDS)

    def commit(self, topic: str, *records: Encoded) -> None:
        self._write(topic, records)
        self._producer.commit_transaction(SECONDS)

    def abort(self, topic: str, *records: Encoded) -> None:
        self._write(topic, records)
        self._producer.abort_transaction(SECONDS)

    def _write(self, topic: str, records: tuple[Encoded, ...]) -> None:
        self._producer.begin_transaction()
        _produce(self._producer, topic, records)
