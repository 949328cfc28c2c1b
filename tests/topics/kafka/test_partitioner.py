from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from kafka.partitioner.default import DefaultPartitioner

from topics.kafka.partitioner import KeyPartitioner


def cluster(partitions: int) -> Any:
    numbers = set(range(partitions))
    return SimpleNamespace(
        topics=lambda: {"t"}, partitions_for_topic=lambda _: numbers, available_partitions_for_topic=lambda _: numbers
    )


@pytest.mark.parametrize("key", [b"contact/1", b"", b"a longer key than four bytes"])
def test_same_as_the_library(key: bytes) -> None:
    """With several partitions it is the library's choice, which is Java's; so a key stays where it was."""
    there = cluster(12)

    chosen = KeyPartitioner().partition("t", key, key, b"v", b"v", there)

    assert chosen == DefaultPartitioner().partition("t", key, key, b"v", b"v", there)


@pytest.mark.parametrize("key", [b"contact/1", None])
def test_one_partition(key: bytes | None) -> None:
    """There is only one to choose."""
    assert KeyPartitioner().partition("t", key, key, b"v", b"v", cluster(1)) == 0
