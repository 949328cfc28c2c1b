"""The record that closes the replay of a parked key: it follows the replayed events on their topic, in their order.

It names the last letter that was replayed. The worker lets the key go when it gets there, unless something was
diverted since. It is a CloudEvent of a type of its own, so that nobody takes it for an event.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from topics.event.codec import TYPE_PREFIX, Encoded
from topics.event.event import new_id
from topics.log import Record

TYPE = TYPE_PREFIX + "unpark"
LETTER = "ce_letter"
NO_LETTER = "none"
"""Closes a replay behind which letters of the key are still open: nothing is barred any more, the key stays parked."""

_RECORD_KEY = re.compile(r"[^/\x00]{1,255}/[^\x00]{1,1024}", re.DOTALL)
_LETTER_ID = re.compile(r"[\w.:-]{1,64}", re.ASCII)


class Unpark(NamedTuple):
    """``record_key``: the parked key, ``<object>/<key>``; ``letter``: the last one replayed, or ``NO_LETTER``."""

    record_key: str
    letter: str


def encode_unpark(connection: str, unpark: Unpark) -> Encoded:
    key = unpark.record_key.encode()
    headers = (
        ("ce_specversion", b"1.0"),
        ("ce_id", new_id().encode()),
        ("ce_source", b"writeback dead-letters"),
        ("ce_type", TYPE.encode()),
        ("ce_subject", f"{connection}/{unpark.record_key}".encode()),
        ("ce_partitionkey", key),
        (LETTER, unpark.letter.encode()),
        ("content-type", b"application/json"),
    )
    return Encoded(key, b"{}", headers)


def unpark_of(record: Record) -> Unpark | None:
    """What a record closes; None for any other record, also for one whose key no event can have."""
    headers = dict(record.headers)
    if headers.get("ce_type") != TYPE.encode() or not record.key or not headers.get(LETTER):
        return None
    try:
        unpark = Unpark(record.key.decode(), headers[LETTER].decode())
    except UnicodeDecodeError:
        return None
    sound = _RECORD_KEY.fullmatch(unpark.record_key) and _LETTER_ID.fullmatch(unpark.letter)
    return unpark if sound else None
