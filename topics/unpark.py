"""The record that closes the replay of a parked key: it follows the replayed events on their topic, in their order.

It names the last letter that was replayed. The worker lets the key go when it gets there, unless something was
diverted since. It is a CloudEvent of a type of its own, so that nobody takes it for an event.
"""

from __future__ import annotations

from typing import NamedTuple

from topics.codec import TYPE_PREFIX, Encoded
from topics.log import Record

TYPE = TYPE_PREFIX + "unpark"
LETTER = "ce_letter"


class Unpark(NamedTuple):
    """``record_key``: the parked key, ``<object>/<key>``; ``letter``: the last one replayed."""

    record_key: str
    letter: str


def encode_unpark(connection: str, unpark: Unpark) -> Encoded:
    key = unpark.record_key.encode()
    headers = (
        ("ce_specversion", b"1.0"),
        ("ce_id", f"unpark-{unpark.letter}".encode()),
        ("ce_source", b"writeback dead-letters"),
        ("ce_type", TYPE.encode()),
        ("ce_subject", f"{connection}/{unpark.record_key}".encode()),
        ("ce_partitionkey", key),
        (LETTER, unpark.letter.encode()),
        ("content-type", b"application/json"),
    )
    return Encoded(key, b"{}", headers)


def unpark_of(record: Record) -> Unpark | None:
    """What a record closes; None for any other record."""
    headers = dict(record.headers)
    if headers.get("ce_type") != TYPE.encode() or not record.key or not headers.get(LETTER):
        return None
    try:
        return Unpark(record.key.decode(), headers[LETTER].decode())
    except UnicodeDecodeError:
        return None
