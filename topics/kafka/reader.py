"""Reads given partitions without a group: for scripts that await replies, for tailing and replays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import kafka
from kafka import errors

from topics.kafka import guards
from topics.kafka.client import Address, translated
from topics.kafka.records import read_directly
from topics.log import Partition, Record
from topics.log_events import logger

log = logger()

MAX_RECORDS = 1_000


class KafkaReader:
    def __init__(self, address: Address, starts: Mapping[Partition, int]) -> None:
        self._address = address
        self._partitions = {kafka.TopicPartition(p.topic, p.number): p for p in starts}
        self._consumer: Any = guards.open_client(
            kafka.KafkaConsumer,
            address.client(
                "reader",
                group_id=None,
                enable_auto_commit=False,
                auto_offset_reset="none",
                isolation_level="read_committed",
                allow_auto_create_topics=False,
                metrics_enabled=False,
                fetch_max_wait_ms=50,
                retry_backoff_ms=10,
            ),
        )
        read_directly(self._consumer, set())
        self._consumer.assign(list(self._partitions))
        for raw, partition in self._partitions.items():
            self._consumer.seek(raw, starts[partition])

    def poll(self, timeout: float) -> list[Record]:
        with translated(self._address.name):
            try:
                guards.before_round(self._consumer)
                polled = self._consumer.poll(timeout_ms=timeout * 1_000, max_records=MAX_RECORDS)
            except errors.OffsetOutOfRangeError as error:
                self._move(error.args[0])
                return []
        return [record for batch in polled.values() for record in batch]

    def position(self, partition: Partition) -> int:
        return int(guards.position(self._consumer, kafka.TopicPartition(*partition)))

    def close(self) -> None:
        self._consumer.close(autocommit=False, timeout_ms=1_000)

    def _move(self, offsets: Mapping[Any, int]) -> None:
        """Records there were deleted: go on with the first that is left (or, asked beyond the end, at the end)."""
        for raw, offset in offsets.items():
            first = self._consumer.beginning_offsets([raw])[raw]
            to = first if offset < first else self._consumer.end_offsets([raw])[raw]
            log.warning("log.reader_moved", partition=str(self._partitions[raw]), asked=offset, to=to)
            self._consumer.seek(raw, to)
