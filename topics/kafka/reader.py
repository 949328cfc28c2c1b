"""Reads given partitions without a group: for scripts that await replies, for tailing and replays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import kafka
from kafka import errors

from topics.kafka import guards
from topics.kafka.client import Address
from topics.kafka.records import UnreadableBatch, read_directly
from topics.log import Partition, Record, Unreadable, UnreadableRecords
from topics.log.log_events import logger

log = logger()

MAX_RECORDS = 1_000


class KafkaReader:
    def __init__(self, address: Address, starts: Mapping[Partition, int], *, strict: bool) -> None:
        self._address = address
        self._strict = strict
        self._handed_out = dict(starts)
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
        with self._address.translated():
            try:
                guards.before_round(self._consumer)
                polled = self._consumer.poll(timeout_ms=timeout * 1_000, max_records=MAX_RECORDS)
            except errors.OffsetOutOfRangeError as error:
                self._move(error.args[0])
                return []
            except UnreadableBatch as error:
                return self._unreadable(error.found)
        records = [record for batch in polled.values() for record in batch]
        for record in records:
            self._handed_out[record.partition] = record.offset + 1
        return records

    def position(self, partition: Partition) -> int:
        return int(guards.position(self._consumer, kafka.TopicPartition(*partition)))

    def close(self) -> None:
        self._consumer.close(autocommit=False, timeout_ms=1_000)

    def _unreadable(self, found: Unreadable) -> list[Record]:
        """Go past what cannot be read, or raise for it; what was not handed out is read again."""
        guards.drop_current(self._consumer)
        if not self._strict:
            self._handed_out[found.partition] = found.behind
            log.warning("log.reader_passed", partition=str(found.partition), reason=found.reason)
        for raw, partition in self._partitions.items():
            self._consumer.seek(raw, self._handed_out[partition])
        if self._strict:
            raise UnreadableRecords(found)
        return []

    def _move(self, offsets: Mapping[Any, int]) -> None:
        """Records there were deleted: go on with the first that is left (or, asked beyond the end, at the end)."""
        for raw, offset in offsets.items():
            first = self._consumer.beginning_offsets([raw])[raw]
            to = first if offset < first else self._consumer.end_offsets([raw])[raw]
            log.warning("log.reader_moved", partition=str(self._partitions[raw]), asked=offset, to=to)
            self._consumer.seek(raw, to)
            self._handed_out[self._partitions[raw]] = to
