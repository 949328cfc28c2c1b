"""Apache Kafka as a log, through kafka-python: for everybody who needs more than one machine.

Beside it: ``client`` (settings, errors), ``producer``, ``consumer`` (the loop's side of a member of a group),
``poller`` (its thread), ``rebalance``, ``watchdog``, and ``guards`` (the private names of the library that are used).
Nothing outside this folder imports ``kafka``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import Any

import kafka
from kafka import errors
from kafka.admin import ConfigResource, KafkaAdminClient, OffsetSpec
from kafka.protocol.consumer import IsolationLevel

from topics.errors import LogError, LogUnavailable
from topics.kafka import guards
from topics.kafka.client import Address
from topics.kafka.commits import from_raw
from topics.kafka.consumer import KafkaConsumer
from topics.kafka.membership import Membership
from topics.kafka.producer import ENVELOPE_BYTES, KafkaProducer
from topics.kafka.reader import KafkaReader
from topics.log import Commit, Consumer, Lag, Partition, Producer, Reader, Rebalance
from topics.names import DEFAULT, Names, TopicSpec

ADMIN_SECONDS = 10.0
"""How long an administrative request is repeated while the broker says "not now"."""
TOPIC_SECONDS = 30.0
OFFSETS_RETENTION = "offsets.retention.minutes"
_AGAIN_SECONDS = 0.1


class KafkaLog:
    def __init__(self, bootstrap: list[str], settings: Mapping[str, Any], names: Names = DEFAULT) -> None:
        self.names = names
        self._address = Address(bootstrap, settings, names.prefix)
        self._client: Any = None
        self._lock = threading.Lock()

    def ensure_topics(self, specs: Sequence[TopicSpec]) -> None:
        if not specs:
            return
        wanted = {spec.name: _creation(spec) for spec in specs}
        made = self._ask(lambda admin: admin.create_topics(wanted, raise_errors=False))
        for topic in made["topics"]:
            error = errors.for_code(topic["error_code"])
            if error not in (errors.NoError, errors.TopicAlreadyExistsError):
                said = topic.get("error_message") or error.__name__
                raise LogError(f"the topic {topic['name']} cannot be made at {self._address.name}: {said}")
        self._ask(lambda admin: admin.wait_for_topics(list(wanted), timeout_ms=int(TOPIC_SECONDS * 1_000)))

    def topics(self, prefix: str = "") -> dict[str, int]:
        described = self._ask(lambda admin: admin.describe_topics())
        return {
            topic["name"]: len(topic["partitions"])
            for topic in sorted(described, key=lambda topic: str(topic["name"]))
            if topic["name"].startswith(prefix) and not topic["is_internal"] and not topic["error_code"]
        }

    def delete_topic(self, name: str) -> None:
        done = self._ask(lambda admin: admin.delete_topics([name], raise_errors=False))
        error = errors.for_code(done["topics"][0]["error_code"])
        if error not in (errors.NoError, errors.UnknownTopicOrPartitionError):
            raise LogError(f"the topic {name} cannot be deleted at {self._address.name}: {error.__name__}")
        deadline = monotonic() + TOPIC_SECONDS
        while name in self.topics(name):
            if monotonic() > deadline:
                raise LogUnavailable(f"the topic {name} is still there {TOPIC_SECONDS:.0f} s after its deletion")
            threading.Event().wait(_AGAIN_SECONDS)

    def trim(self, before: Mapping[Partition, int]) -> None:
        if before:
            offsets = {_raw(partition): offset for partition, offset in before.items()}
            self._ask(lambda admin: admin.delete_records(offsets))

    def end_offsets(self, partitions: Sequence[Partition]) -> dict[Partition, int]:
        return self._offsets(partitions, OffsetSpec.LATEST)

    def start_offsets(self, partitions: Sequence[Partition]) -> dict[Partition, int]:
        return self._offsets(partitions, OffsetSpec.EARLIEST)

    def offsets_at(self, partitions: Sequence[Partition], timestamp_ms: int) -> dict[Partition, int]:
        found = self._offsets(partitions, max(0, timestamp_ms))
        later = [partition for partition, offset in found.items() if offset < 0]
        return found | self.end_offsets(later)

    def _offsets(self, partitions: Sequence[Partition], spec: int) -> dict[Partition, int]:
        if not partitions:
            return {}
        asked = {_raw(partition): spec for partition in partitions}
        committed = IsolationLevel.READ_COMMITTED  # as our consumers read: records of an open transaction do not wait
        found = self._ask(lambda admin: admin.list_partition_offsets(asked, isolation_level=committed))
        return {partition: found[_raw(partition)].offset for partition in partitions}

    def committed(self, group: str, partitions: Sequence[Partition]) -> dict[Partition, Commit | None]:
        if not partitions:
            return {}
        asked = {group: [_raw(partition) for partition in partitions]}
        found = self._ask(lambda admin: admin.list_group_offsets(asked))[group]
        return {partition: from_raw(found.get(_raw(partition))) for partition in partitions}

    def lag(self, group: str, prefix: str = "") -> dict[Partition, Lag]:
        partitions = [Partition(name, number) for name, count in self.topics(prefix).items() for number in range(count)]
        ends = self.end_offsets(partitions)
        commits = self.committed(group, partitions)
        return {
            partition: Lag(commit.offset if (commit := commits[partition]) else None, end)
            for partition, end in ends.items()
        }

    def producer(self, *, name: str = "", max_record_bytes: int = 1_048_576) -> Producer:
        return KafkaProducer(self._address, name, max_record_bytes)

    def consumer(self, group: str, *, pattern: str, rebalance: Rebalance, member: str = "") -> Consumer:
        return KafkaConsumer(Membership(self._address, group, pattern, member, self._owned_in), rebalance)

    def reader(self, starts: Mapping[Partition, int], *, strict: bool = False) -> Reader:
        with self._address.translated():
            return KafkaReader(self._address, starts, strict=strict)

    def commits_kept(self) -> float | None:
        """What the broker's ``offsets.retention.minutes`` says."""
        cluster = self._ask(lambda admin: admin.describe_cluster(), seconds=0.0)
        broker = ConfigResource("BROKER", str(cluster["brokers"][0]["broker_id"]), [OFFSETS_RETENTION])
        found = self._ask(lambda admin: admin.describe_configs([broker], config_filter="all"), seconds=0.0)
        value = found.get("broker", {}).get(broker.name, {}).get(OFFSETS_RETENTION, {}).get("value")
        if value is None:  # services that run Kafka for others hide some of their settings
            raise LogError(f"{self._address.name} does not say its {OFFSETS_RETENTION}")
        return 60.0 * int(value)

    def probe(self) -> str:
        cluster = self._ask(lambda admin: admin.describe_cluster(), seconds=0.0)
        brokers = len(cluster["brokers"])
        return f"Apache Kafka at {self._address.name}: {brokers} broker{'s' * (brokers != 1)}, {cluster['cluster_id']}"

    def close(self) -> None:
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _owned_in(self, group: str) -> set[tuple[str, int]]:
        """Every partition that some member of the group has."""
        members = self._ask(lambda admin: admin.describe_groups([group]), seconds=0.0)[group]["members"]
        return {
            (topic["topic"], number)
            for member in members
            if member["member_assignment"]
            for topic in member["member_assignment"]["assigned_partitions"]
            for number in topic["partitions"]
        }

    def _ask(self, request: Callable[[Any], Any], seconds: float = ADMIN_SECONDS) -> Any:
        """Ask, and ask again while the broker says "not now" (it restarts, a coordinator moves)."""
        deadline = monotonic() + seconds
        while True:
            with self._address.translated():
                try:
                    return request(self._admin())
                except errors.RetriableError as error:
                    if monotonic() > deadline:
                        raise
                    if isinstance(error, errors.NotCoordinatorError):
                        self.close()  # the library keeps a coordinator that has moved for ever
            threading.Event().wait(_AGAIN_SECONDS)

    def _admin(self) -> Any:
        with self._lock:
            if self._client is None:
                self._client = guards.open_client(KafkaAdminClient, self._address.client("admin"))
            return self._client


def _creation(spec: TopicSpec) -> dict[str, Any]:
    return {
        "num_partitions": spec.partitions,
        "configs": {
            "retention.ms": str(spec.retention_ms),
            "max.message.bytes": str(spec.max_record_bytes + ENVELOPE_BYTES),
            **spec.config,
        },
    }


def _raw(partition: Partition) -> Any:
    return kafka.TopicPartition(partition.topic, partition.number)
