"""Our reading of record batches against the library's own."""

from __future__ import annotations

from typing import Any

import kafka.codec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka import TopicPartition, errors
from kafka.consumer.fetcher import Fetcher
from kafka.record.memory_records import MemoryRecords, MemoryRecordsBuilder

from topics.kafka.records import DirectRecords, UnreadableBatch
from topics.log import Partition, Record
from topics.log.headers import PackedHeaders

TP = TopicPartition("t", 0)
NONE, GZIP, SNAPPY, LZ4, ZSTD = range(5)
BYTES = st.none() | st.binary(max_size=200)
HEADERS = st.lists(st.tuples(st.text(max_size=80), BYTES), max_size=12)


def batch(records: list[tuple[Any, ...]], compression: int = NONE) -> bytearray:
    builder = MemoryRecordsBuilder(2, compression, 10_000_000)
    for number, (key, value, headers) in enumerate(records):
        builder.append(1_700_000_000_000 + number * 7, key, value, list(headers))
    builder.close()
    return bytearray(builder.buffer())


def read(raw: bytearray, start: int = 0, count: int | None = None) -> list[Record]:
    records: list[Record] = DirectRecords(set(), start, TP, MemoryRecords(bytes(raw))).take(count)
    return records


def read_by_library(raw: bytearray) -> list[Record]:
    return [
        Record(
            Partition(each.topic, each.partition),
            each.offset,
            each.timestamp,
            each.key,
            each.value,
            tuple((name, value) for name, value in each.headers if value is not None),
        )
        for each in Fetcher.PartitionRecords(0, TP, MemoryRecords(bytes(raw))).take(None)
    ]


@given(
    st.lists(st.tuples(BYTES, BYTES, HEADERS), min_size=1, max_size=80),
    st.sampled_from([NONE, GZIP, SNAPPY, LZ4, ZSTD]),
)
def test_reads_what_the_library_reads(records: list[tuple[Any, ...]], compression: int) -> None:
    """Keys, values, headers, offsets and times are the library's, whatever they hold; a null header is left out."""
    raw = batch(records, compression)

    assert read(raw) == read_by_library(raw)


def test_header_name_that_is_not_utf8() -> None:
    """It reads with escapes, and the records behind it are read."""
    raw = batch([(b"k", b"v", [("name", b"1")]), (b"k", b"w", [])])
    raw[raw.index(b"name")] = 0xFF
    unchecked = DirectRecords(set(), 0, TP, MemoryRecords(bytes(raw)), check_crcs=False)

    assert [(each.value, each.headers) for each in unchecked.take()] == [(b"v", (("\\xffame", b"1"),)), (b"w", ())]


@given(HEADERS)
def test_packed_headers_are_a_tuple_of_them(headers: list[tuple[str, bytes | None]]) -> None:
    """Left in one piece they are as many, in the same order, and equal to the tuple and to each other."""
    plain = tuple((name, value) for name, value in headers if value is not None)

    [first] = read(batch([(b"k", b"v", headers)]))
    [again] = read(batch([(b"k", b"v", headers)]))

    assert (first.headers, len(first.headers), tuple(first.headers)) == (plain, len(plain), plain)
    assert (first.headers, hash(first.headers)) == (again.headers, hash(plain))
    assert [first.headers[place] for place in range(len(plain))] == list(plain)


@given(HEADERS, st.data())
def test_what_is_no_headers(headers: list[tuple[str, bytes | None]], data: st.DataObject) -> None:
    """Bytes that end too early, or too late, are said to be no headers when somebody looks."""
    [record] = read(batch([(b"k", b"v", [*headers, ("last", b"one")])]))
    assert isinstance(record.headers, PackedHeaders)
    packed = record.headers._packed
    wrong = data.draw(st.sampled_from([packed[:-1], packed + b"x"]))

    with pytest.raises(ValueError, match="headers"):
        tuple(PackedHeaders(wrong))


def test_starts_in_the_middle_and_knows_where_to_go_on() -> None:
    """A batch is fetched whole: what is before the position is left out, and the next position is behind the last."""
    records = DirectRecords(set(), 3, TP, MemoryRecords(bytes(batch([(b"k", b"%d" % n, []) for n in range(10)]))))

    assert [each.value for each in records.take(4)] == [b"3", b"4", b"5", b"6"]
    assert records.next_fetch_offset == 7
    assert [each.value for each in records.take()] == [b"7", b"8", b"9"]
    assert (records.next_fetch_offset, bool(records)) == (10, False)


@pytest.mark.parametrize(
    ("codec", "library", "package"),
    [(SNAPPY, "snappy", "python-snappy"), (LZ4, "lz4", "lz4"), (ZSTD, "zstd", "zstandard")],
)
def test_a_codec_without_its_library(codec: int, library: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the library of a codec is not installed, the error names the package to install."""
    raw = batch([(b"k", b"value" * 100, [])], codec)
    monkeypatch.setattr(kafka.codec, library, None)

    with pytest.raises(UnreadableBatch, match=f"pip install {package}"):
        read(raw)


@pytest.mark.parametrize("codec", [GZIP, SNAPPY, LZ4, ZSTD])
def test_a_batch_that_does_not_decompress(codec: int) -> None:
    """Bytes that are no compressed batch are a corrupt record, whatever the codec's library raises."""
    raw = batch([(b"k", b"value" * 100, [])], codec)
    raw[-6:] = b"no way"

    with pytest.raises(errors.CorruptRecordError, match="does not decompress"):
        DirectRecords(set(), 0, TP, MemoryRecords(bytes(raw)), check_crcs=False).take()


def test_wrong_checksum() -> None:
    """A byte that was changed on the way is noticed before anything is handed out."""
    raw = batch([(b"k", b"value", [])])
    raw[-3] ^= 1

    with pytest.raises(errors.CorruptRecordError):
        read(raw)


@pytest.mark.parametrize(("field", "says"), [(b"key", 2), (b"value", 4), (b"value", 8), (b"value", 12)])
def test_record_that_lies_about_its_length(field: bytes, says: int) -> None:
    """It is never read into the next one: it is refused, or its headers are when somebody looks at them."""
    raw = batch([(b"key", b"value", [("name", b"header")]), (b"key", b"next", [])])
    raw[raw.index(field) - 1] = says * 2
    lying = DirectRecords(set(), 0, TP, MemoryRecords(bytes(raw)), check_crcs=False)

    with pytest.raises((errors.CorruptRecordError, ValueError)):
        [tuple(record.headers) for record in lying.take()]
