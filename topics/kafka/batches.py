"""Writes records into the batches of kafka-python 3.0.12-3.1 with fewer steps: the dearest part of a send.

The library calls a function for each number in a record, encodes the name of each header three times and measures all
of it once more. Here the headers are packed once, before they are handed over, and a record is joined from its parts.
``tests/topics/kafka/test_batches.py`` holds the bytes to those of the library. Read it before the version in
``pyproject.toml`` is widened.
"""

from __future__ import annotations

import time
from typing import Any

from kafka.record.default_records import DefaultRecordBatchBuilder, DefaultRecordMetadata

from topics.log import Headers

SMALL = 4_096
NONE = b"\x01"
"""The length -1: no key, no value."""


def _varint(number: int) -> bytes:
    """Zigzag, seven bits a byte: https://kafka.apache.org/documentation/#recordheader."""
    number = (number << 1) ^ (number >> 63)
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


_VARINTS = [_varint(number) for number in range(SMALL)]
_NAMES: dict[str, bytes] = {}
_MOST_NAMES = 1_000
_EPOCH = time.time  # noqa: TID251 - the moment at which a record is written, as the library takes it


def varint(number: int) -> bytes:
    return _VARINTS[number] if 0 <= number < SMALL else _varint(number)


class Packed(list[Any]):
    """Headers as the record has them; an empty list for the library, which then has nothing to go through."""

    __slots__ = ("block",)

    def __init__(self, headers: Headers) -> None:
        self.block = pack(headers)


def pack(headers: Any) -> bytes:
    """Raises ``TypeError`` for a header that is no pair of a text and bytes."""
    parts = [varint(len(headers))]
    add, names, varints = parts.append, _NAMES, _VARINTS  # ten times a record
    for name, value in headers:
        add(names.get(name) or _name(name))
        if value is None:
            add(NONE)
        else:
            size = len(value)
            add(varints[size] if size < SMALL else _varint(size))
            add(value)
    return b"".join(parts)


def _name(name: str) -> bytes:
    encoded = name.encode()
    packed = varint(len(encoded)) + encoded
    if len(_NAMES) < _MOST_NAMES and type(name) is str:  # names of headers are few, unless somebody plays
        _NAMES[name] = packed
    return packed


def _append(  # noqa: PLR0917 - the library's own signature
    self: Any, offset: int, timestamp: int | None, key: bytes | None, value: bytes | None, headers: Any
) -> DefaultRecordMetadata | None:
    """In the place of ``DefaultRecordBatchBuilder.append``; None when the batch has no room left."""
    if timestamp is None:
        timestamp = int(_EPOCH() * 1_000)
    first = self._first_timestamp is None
    if first:
        self._first_timestamp = self._max_timestamp = timestamp
    block = headers.block if type(headers) is Packed else pack(headers)
    body = b"".join((
        b"\x00",
        varint(timestamp - self._first_timestamp),
        varint(offset),
        NONE if key is None else varint(len(key)),
        key or b"",
        NONE if value is None else varint(len(value)),
        value or b"",
        block,
    ))  # fmt: skip
    length = varint(len(body))
    size = len(length) + len(body)
    buffer = self._buffer
    if not first and size + len(buffer) > self._batch_size:
        return None
    self._max_timestamp = max(self._max_timestamp, timestamp)
    self._num_records += 1
    self._last_offset = offset
    buffer += length
    buffer += body
    return DefaultRecordMetadata(offset, size, timestamp)


def _size_of(_cls: Any, key: bytes | None, value: bytes | None, headers: Any) -> int:
    """In the place of ``DefaultRecordBatchBuilder.size_of``: an upper bound will do for its one caller."""
    block = headers.block if type(headers) is Packed else pack(headers)
    return len(key or b"") + len(value or b"") + len(block) + 2 * _LENGTH


_LENGTH = 5
"""Bytes of a length at the most."""


LIBRARY_APPEND = DefaultRecordBatchBuilder.append
LIBRARY_SIZE_OF = DefaultRecordBatchBuilder.__dict__["size_of"]


def write_quickly() -> None:
    """For every producer of this process; safe to call again."""
    DefaultRecordBatchBuilder.append = _append
    DefaultRecordBatchBuilder.size_of = classmethod(_size_of)
