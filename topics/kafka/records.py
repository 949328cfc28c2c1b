"""From Kafka's record batches straight to our records.

The library makes two objects of its own of each record, a call for each of its 25 numbers, and looks at each header
three times: 33 us for an event, a third of what it costs altogether in a batch. This takes 3 us, and leaves the headers
in one piece (``topics/log/headers.py``). What stays the library's: fetching, checksums, decompression, positions,
parking paused batches.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from kafka import errors
from kafka.consumer.fetcher import Fetcher
from kafka.record.default_records import DefaultRecordBatch
from kafka.record.util import decode_varint

from topics.log import Headers, Partition, Record, Unreadable
from topics.log.headers import PackedHeaders

CODECS = {
    DefaultRecordBatch.CODEC_SNAPPY: ("snappy", "python-snappy"),
    DefaultRecordBatch.CODEC_LZ4: ("lz4", "lz4"),
    DefaultRecordBatch.CODEC_ZSTD: ("zstd", "zstandard"),
}
"""Of a batch's attributes: the codec, and the package that the client library reads it with."""


class UnreadableBatch(errors.CorruptRecordError):  # type: ignore[misc] # the library has no types
    """``found``: which batch, where it ends, and its bytes as they lie in the log."""

    def __init__(self, found: Unreadable) -> None:
        super().__init__(found.reason)
        self.found = found


class DirectRecords(Fetcher.PartitionRecords):  # type: ignore[misc] # the library has no types
    """The fetched batches of one partition; hands out ``Record``, of which the fetcher only looks at ``offset``.

    ``passed``: gets the partition when offsets that hold no record were passed.
    """

    def __init__(self, passed: set[Any], *arguments: Any, **options: Any) -> None:
        self._passed = passed
        super().__init__(*arguments, **options)

    def _unpack_records(self, tp: Any, records: Any, *_: Any) -> Iterator[Record]:
        partition = Partition(tp.topic, tp.partition)
        while (batch := records.next_batch()) is not None:
            if batch.magic < 2:
                yield from self._old(batch, partition)
                continue
            self.leader_epoch = batch.leader_epoch
            if not self._is_rolled_back(batch) and not batch.is_control_batch:
                for record in self._read(batch, partition):
                    self.records_read += 1
                    self.next_fetch_offset = record.offset + 1
                    yield record
            self.bytes_read += batch.size_in_bytes
            if self.next_fetch_offset != batch.next_offset:  # no records, or compaction took the last ones
                self.next_fetch_offset = batch.next_offset
                self._passed.add(tp)
        self.drain()

    def _read(self, batch: Any, partition: Partition) -> Iterator[Record]:
        """Raises ``UnreadableBatch``."""
        raw = bytes(batch._buffer)  # noqa: SLF001 - before it is decompressed in place
        try:
            if self.check_crcs:
                _check(batch, partition)
            yield from read(batch, partition)
        except (errors.CorruptRecordError, errors.UnsupportedCodecError) as error:
            at = max(self.next_fetch_offset, batch.base_offset)
            kept = Record(partition, at, batch.max_timestamp, None, raw)
            raise UnreadableBatch(Unreadable(partition, at, str(error), batch.next_offset, kept)) from error

    def _is_rolled_back(self, batch: Any) -> bool:
        """Its transaction was aborted. The broker lists those of a fetch, each ends with a marker in the partition."""
        if not batch.has_producer_id():
            return False
        self._consume_aborted_transactions_up_to(batch.last_offset)
        if self._contains_abort_marker(batch):
            self.aborted_producer_ids.discard(batch.producer_id)
            return False
        return bool(self._is_batch_aborted(batch))

    def _old(self, batch: Any, partition: Partition) -> Iterator[Record]:
        """Written by a broker before 0.11, which had no headers."""
        if self.check_crcs and not batch.validate_crc():
            raise errors.CorruptRecordError(f"{partition}: a batch has a wrong checksum")
        for raw in batch:
            if self.check_crcs and not raw.validate_crc():
                raise errors.CorruptRecordError(f"{partition}: the record at {raw.offset} has a wrong checksum")
            self.records_read += 1
            self.bytes_read += raw.size_in_bytes
            self.next_fetch_offset = raw.offset + 1
            yield Record(partition, raw.offset, raw.timestamp, raw.key, raw.value)


def read_directly(consumer: Any, passed: set[Any]) -> None:
    """Make a consumer of the library hand out ``Record``.

    Partitions whose position has passed offsets that hold no record are put into ``passed`` while it polls.
    """
    consumer._fetcher.PartitionRecords = partial(DirectRecords, passed)  # noqa: SLF001 - looked up on itself first


def read(batch: Any, partition: Partition) -> Iterator[Record]:
    """The records of a batch of format 2. Raises ``CorruptRecordError``, and ``UnsupportedCodecError``."""
    _decompress(batch, partition)
    buffer, place = bytes(batch._buffer), batch._pos  # noqa: SLF001
    base, first = batch.base_offset, batch.first_timestamp
    appended = batch.max_timestamp if batch.timestamp_type == DefaultRecordBatch.LOG_APPEND_TIME else None
    for _ in range(batch.records_count):
        try:
            offset, time, key, value, headers, place = _record(buffer, place)
        except (ValueError, IndexError) as error:
            raise errors.CorruptRecordError(f"{partition}: a record behind {base} cannot be read: {error}") from error
        yield Record(partition, base + offset, first + time if appended is None else appended, key, value, headers)
    if place != len(buffer):
        raise errors.CorruptRecordError(f"{partition}: {len(buffer) - place} bytes are left of the batch at {base}")


def _check(batch: Any, partition: Partition) -> None:
    if not batch.validate_crc():
        raise errors.CorruptRecordError(f"{partition}: the batch at {batch.base_offset} has a wrong checksum")


def _decompress(batch: Any, partition: Partition) -> None:
    try:
        batch._maybe_uncompress()  # noqa: SLF001 - as the library's own iterator does
    except errors.UnsupportedCodecError as error:
        codec, package = CODECS.get(batch.compression_type, ("a codec that Kafka does not have", ""))
        advice = f" and the Python package for it is not installed: pip install {package}" if package else ""
        raise errors.UnsupportedCodecError(
            f"{partition}: the batch at {batch.base_offset} is compressed with {codec}{advice}"
        ) from error
    except Exception as error:
        raise errors.CorruptRecordError(
            f"{partition}: the batch at {batch.base_offset} does not decompress: {error}"
        ) from error


def _record(buffer: bytes, place: int) -> tuple[int, int, bytes | None, bytes | None, Headers, int]:
    """One record, and where the next one begins."""
    length, place = decode_varint(buffer, place)
    end = place + length
    time, place = decode_varint(buffer, place + 1)  # behind the attributes, which mean nothing yet
    offset, place = decode_varint(buffer, place)
    size, place = decode_varint(buffer, place)
    key = None
    if size >= 0:
        key, place = buffer[place : place + size], place + size
    size, place = decode_varint(buffer, place)
    value = None
    if size >= 0:
        value, place = buffer[place : place + size], place + size
    if place >= end or end > len(buffer):
        raise ValueError(f"it says that it has {length} bytes, and ends elsewhere")
    return offset, time, key, value, () if buffer[place] == 0 else PackedHeaders(buffer[place:end]), end
