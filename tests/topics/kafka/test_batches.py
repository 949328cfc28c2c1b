"""What is written quickly is, byte for byte, what the library writes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given as of
from hypothesis import strategies as st
from kafka.record.default_records import DefaultRecordBatchBuilder
from kafka.record.util import encode_varint

from topics.kafka import batches as kafka_batches
from topics.kafka.batches import Packed, varint

SLOWLY = kafka_batches.LIBRARY_APPEND

HEADERS = st.lists(st.tuples(st.text(max_size=20), st.none() | st.binary(max_size=200)), max_size=12)
RECORDS = st.tuples(
    st.integers(1_600_000_000_000, 1_800_000_000_000),
    st.none() | st.binary(max_size=300),
    st.none() | st.binary(max_size=9_000),
    HEADERS,
)


def builder(size: int = 1_000_000) -> Any:
    return DefaultRecordBatchBuilder(
        2, 0, is_transactional=False, producer_id=1, producer_epoch=1, base_sequence=0, batch_size=size
    )


@of(st.lists(RECORDS, min_size=1, max_size=5), st.booleans())
def test_the_same_bytes(records: list[Any], packed: bool) -> None:
    """Any keys, values, headers and times, packed beforehand or not."""
    slow, quick = builder(), builder()
    for offset, (timestamp, key, value, headers) in enumerate(records):
        expected = SLOWLY(slow, offset, timestamp, key, value, headers)
        made = kafka_batches._append(
            quick, offset, timestamp, key, value, Packed(tuple(headers)) if packed else headers
        )
        assert made is not None
        assert (made.offset, made.timestamp, made.size) == (expected.offset, expected.timestamp, expected.size)

    assert bytes(quick.build()) == bytes(slow.build())


@of(RECORDS)
def test_a_full_batch_takes_no_more(record: tuple[Any, ...]) -> None:
    """The first record always fits; the next one only where there is room, as in the library."""
    slow, quick = builder(600), builder(600)
    timestamp, *content = record
    for offset in range(2):
        expected = SLOWLY(slow, offset, timestamp, *content)
        made = kafka_batches._append(quick, offset, timestamp, *content)
        assert (made is None) == (expected is None)


@of(RECORDS)
def test_the_size_is_an_upper_bound(record: tuple[Any, ...]) -> None:
    """Never less than the library's own, and at most ten bytes more."""
    _, key, value, headers = record
    exact = kafka_batches.LIBRARY_SIZE_OF.__get__(None, DefaultRecordBatchBuilder)(key, value, headers)

    assert exact <= kafka_batches._size_of(None, key, value, headers) <= exact + 10


@pytest.mark.parametrize("number", [0, 1, 63, 64, 4_095, 4_096, 2**31 - 1, -1, -2, -(2**31)])
def test_numbers(number: int) -> None:
    """Small ones from a table, others worked out, negative ones too: a record may be older than the first one."""
    expected = bytearray()
    encode_varint(number, expected.append)

    assert varint(number) == bytes(expected)
