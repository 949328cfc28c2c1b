"""How many records wait for a group; on Kafka, with markers of transactions: ``tests/topics/kafka``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from topics.log import Lag, Log, Partition
from topics.log.waiting import count_waiting
from topics.names import TopicSpec
from topics.open import open_log

PLACE = Partition("numbers", 0)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    """It has four records."""
    opened = open_log(f"sqlite:///{tmp_path / 'log.db'}")
    opened.ensure_topics([TopicSpec(PLACE.topic)])
    producer = opened.producer()
    for number in range(4):
        producer.send(PLACE.topic, key=None, value=b"%d" % number).result(10)
    producer.close()
    yield opened
    opened.close()


def test_without_a_commit_what_is_there_waits(log: Log) -> None:
    """What was deleted does not: it is not among what is counted."""
    assert count_waiting(log, "workers") == {PLACE: Lag(None, 4, counted=4)}
    log.trim({PLACE: 3})
    assert count_waiting(log, "workers") == {PLACE: Lag(None, 4, counted=1)}
    assert count_waiting(log, "workers", "others") == {}
