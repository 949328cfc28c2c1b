"""Which partition a record goes to: the same as Java's clients choose, murmur2 of the key."""

from __future__ import annotations

from typing import Any

from kafka.partitioner.default import DefaultPartitioner


class KeyPartitioner(DefaultPartitioner):  # type: ignore[misc] # the library has no types
    """Most of our topics have one partition: then there is nothing to hash, byte by byte in Python (7 % of a send)."""

    def partition(self, topic: str, key: Any, key_bytes: Any, value: Any, value_bytes: Any, cluster: Any) -> int:  # noqa: PLR0917 - the library's order
        partitions = cluster.partitions_for_topic(topic)
        if partitions is not None and len(partitions) == 1:
            (only,) = partitions
            return int(only)
        chosen: int = super().partition(topic, key, key_bytes, value, value_bytes, cluster)
        return chosen
