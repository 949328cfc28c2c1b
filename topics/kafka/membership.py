"""What a member of a group is: its settings as the library takes them, and the questions a watchdog asks about it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import kafka
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor

from topics.kafka import guards
from topics.kafka.client import Address
from topics.kafka.records import read_directly
from topics.log import Partition

HEARTBEAT_MS = 300
"""A cooperative rebalance silences its members for about one heartbeat: 0.6 s at 500 ms, 3.1 s at 3,000 ms."""
METADATA_AGE_MS = 2_000
"""How old may be what is known of the topics: a new one is read within 5 s."""
ROUND_MS = 30_000
POLL_INTERVAL_MS = 60_000
"""How long the others wait, in a rebalance, for a member that lives and does not poll."""
FETCH_WAIT_MS = 50
"""How long an idle fetch is held by the broker: also how long a pause or a resume may take to act."""
RETRY_MS = 10
ASK_MS = 500
FETCH_PARTITION_BYTES = 262_144
FETCH_BYTES = 8 * 1_048_576


@dataclass(frozen=True, slots=True)
class Membership:
    """``name``: a stable identity (static membership), or none. ``owned_in``: all that a group's members have."""

    address: Address
    group: str
    pattern: str
    name: str
    owned_in: Callable[[str], set[tuple[str, int]]]

    def join(self, listener: Any, passed: set[Any]) -> Any:
        """A consumer of the library that will join the group; the listener knows it before it is called.

        ``passed``: see ``read_directly``.
        """
        consumer = guards.open_client(
            kafka.KafkaConsumer,
            self.address.client(
                f"consumer-{self.group}",
                group_id=self.group,
                group_instance_id=self.name or None,
                partition_assignment_strategy=[CooperativeStickyAssignor],
                auto_offset_reset="none",
                isolation_level="read_committed",
                enable_auto_commit=False,
                allow_auto_create_topics=False,
                metrics_enabled=False,
                session_timeout_ms=self.address.session_ms,
                heartbeat_interval_ms=HEARTBEAT_MS,
                max_poll_interval_ms=POLL_INTERVAL_MS,
                request_timeout_ms=15_000,
                metadata_max_age_ms=METADATA_AGE_MS,
                retry_backoff_ms=RETRY_MS,
                fetch_max_wait_ms=FETCH_WAIT_MS,
                fetch_max_bytes=FETCH_BYTES,
                max_partition_fetch_bytes=FETCH_PARTITION_BYTES,
            ),
        )
        read_directly(consumer, passed)
        listener.consumer = consumer
        consumer.subscribe(pattern=f"(?:{self.pattern})\\Z", listener=listener)
        return consumer

    def forgotten(self, consumer: Any) -> list[Partition]:
        """Partitions of our topics that no member of the group has."""
        topics = consumer.subscription() or ()
        there = {(topic, number) for topic in topics for number in consumer.partitions_for_topic(topic)}
        return [Partition(*each) for each in sorted(there - self.owned_in(self.group))] if there else []


def behind(consumer: Any, partitions: Sequence[Partition]) -> list[Partition]:
    """Those that have records which were not handed out yet."""
    raws = [kafka.TopicPartition(*partition) for partition in partitions]
    ends = consumer.end_offsets(raws, timeout_ms=ASK_MS)
    return [Partition(*raw) for raw in raws if ends[raw] > guards.position(consumer, raw)]
