"""Commits as Kafka takes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import kafka
from kafka.structs import OffsetAndMetadata

from topics.log import Commit, Partition

REQUEST_METADATA_BYTES = 512 * 1_024
"""Of metadata in one commit request: 250 x 4 kB passed on a real broker, 260 x 4 kB failed whole, for ever."""


def chunks(commits: Mapping[Partition, Commit], budget: int = REQUEST_METADATA_BYTES) -> list[dict[Partition, Commit]]:
    """The commits in requests of at most ``budget`` bytes of metadata."""
    requests: list[dict[Partition, Commit]] = []
    room = 0
    for partition, commit in commits.items():
        size = len(commit.metadata.encode())
        if not requests or size > room:
            requests.append({})
            room = budget
        requests[-1][partition] = commit
        room -= size
    return requests


def to_raw(commits: Mapping[Partition, Commit]) -> dict[Any, Any]:
    return {
        kafka.TopicPartition(*partition): OffsetAndMetadata(commit.offset, commit.metadata, -1)
        for partition, commit in commits.items()
    }


def from_raw(found: Any) -> Commit | None:
    return None if found is None or found.offset < 0 else Commit(found.offset, found.metadata or "")
