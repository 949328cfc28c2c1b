"""Commits are cut into requests that a broker takes."""

from __future__ import annotations

import pytest

from tests.kafka_broker import Broker
from topics.kafka.commits import chunks
from topics.kafka.log import KafkaLog
from topics.log import Commit, Partition


def test_requests_within_the_budget() -> None:
    """No request carries more metadata than the budget; every commit is in one of them, in order."""
    commits = {Partition("a", n): Commit(n, "x" * 4_096) for n in range(300)}

    requests = chunks(commits)

    assert [len(request) for request in requests] == [128, 128, 44]
    assert [pair for request in requests for pair in request.items()] == list(commits.items())


def test_bytes_count() -> None:
    """Bytes count, not characters."""
    commits = {Partition("a", n): Commit(n, "ü" * 10) for n in range(4)}

    assert [len(request) for request in chunks(commits, budget=40)] == [2, 2]


def test_nothing() -> None:
    """No commits are no request."""
    assert chunks({}) == []


@pytest.mark.kafka
def test_how_long_the_broker_keeps_them(kafka: Broker) -> None:
    """It is the broker's own setting; Kafka's default is seven days."""
    log = KafkaLog([kafka.bootstrap], {})

    assert log.commits_kept() == 7 * 86_400
    log.close()
