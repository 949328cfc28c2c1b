"""A letter as a row of the store and back."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Row

from dead_letter.letter.letter import Letter
from dead_letter.store.filters import State
from dead_letter.store.tables import LETTERS
from topics.log import Headers, Partition, Record

_LETTER = TypeAdapter(Letter)
_UNSAFE = re.compile(r"[\x00\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Edit:
    """What a replay sends instead of the original's operation, object, key and fields."""

    operation: str
    object: str
    key: str | None
    fields: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Copying:
    """A replay that was begun: its number, and from where in each partition of the topic its copy would be found."""

    number: int
    topic: str
    starts: dict[int, int]


_COPYING = TypeAdapter(Copying)  # JSON makes the partitions' numbers text


@dataclass(frozen=True, slots=True)
class Summary:
    """A letter without its bytes, and what operators did to it; a listing holds thousands of these."""

    row: int
    id: str
    time: float
    connection: str
    object: str | None
    operation: str | None
    event_id: str | None
    event_key: str | None
    verdict: str
    status: int | None
    reason: str
    fingerprint: str
    attempts: int
    topic: str
    partition: int
    offset: int
    record_hash: str | None
    replay_of: str | None
    state: State
    replays: int
    edited: Edit | None
    copying: Copying | None


@dataclass(frozen=True, slots=True)
class Stored:
    summary: Summary
    letter: Letter


SUMMARY = [LETTERS.c[name] for name in Summary.__dataclass_fields__]
BODY = [LETTERS.c[name] for name in ("timestamp_ms", "story", "key", "value", "headers")]


def to_row(letter: Letter, position: Record | None) -> dict[str, Any]:
    """``position``: the record of ``writeback.dead-letter`` that the letter came in, None when there is none."""
    record = letter.record
    story = {name: value for name, value in asdict(letter).items() if name != "record"}
    return {
        "id": row_id(letter),
        "letter_partition": position and position.partition.number,
        "letter_offset": position and position.offset,
        "letter_timestamp_ms": position and position.timestamp_ms,
        "connection": _clean(letter.connection, 255),
        "object": _clean(letter.object, 255),
        "operation": _clean(letter.operation, 255),
        "event_id": _clean(letter.event_id, 256),
        "event_key": _clean(letter.event_key, 1_024),
        "record_hash": _record_hash(letter),
        "verdict": _clean(letter.verdict, 64),
        "reason": _clean(letter.reason, None),
        "status": letter.status,
        "fingerprint": letter.fingerprint,
        "attempts": len(letter.attempts) + letter.omitted,
        "time": letter.time,
        "replay_of": _clean(letter.replay_of, 64),
        "topic": _clean(record.partition.topic, 255),
        "partition": record.partition.number,
        "offset": record.offset,
        "timestamp_ms": record.timestamp_ms,
        "story": story,
        "key": record.key,
        "value": record.value,
        "headers": [[name, _text(value)] for name, value in record.headers],
        "state": "open",
        "replays": 0,
    }


def row_id(letter: Letter) -> str:
    """The letter's own id, or a hash of it where a column or a command line could not hold that."""
    if re.fullmatch(r"[\w.:-]{1,64}", letter.id, re.ASCII):
        return letter.id
    return hashlib.sha256(letter.id.encode("utf-8", "surrogatepass")).hexdigest()[:24]


def to_summary(row: Row[Any]) -> Summary:
    said = {name: getattr(row, name) for name in Summary.__dataclass_fields__}
    said["edited"] = said["edited"] and Edit(**said["edited"])
    said["copying"] = said["copying"] and _COPYING.validate_python(said["copying"])
    return Summary(**said)


def to_stored(row: Row[Any]) -> Stored:
    record = Record(
        Partition(row.topic, row.partition),
        row.offset,
        row.timestamp_ms,
        row.key,
        row.value,
        _headers(row.headers),
    )
    return Stored(to_summary(row), _LETTER.validate_python({**row.story, "record": record}))


def _headers(said: list[list[Any]]) -> Headers:
    # a null header value is legal on the log: what was None stays None
    return tuple((name, None if value is None else base64.b64decode(value)) for name, value in said)  # type: ignore[misc]


def _text(value: bytes | None) -> str | None:
    return None if value is None else base64.b64encode(value).decode()


def _record_hash(letter: Letter) -> str | None:
    return None if letter.event_key is None else record_hash(letter.connection, letter.object or "", letter.event_key)


def record_hash(connection: str, object_name: str, key: str) -> str:
    """The same for all letters of one record."""
    said = f"{connection}\x1f{object_name}\x1f{key}"
    return hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()


def _clean(text: str | None, longest: int | None) -> str | None:
    return None if text is None else _UNSAFE.sub("\ufffd", text)[:longest]
