"""The letter: an event that could not be delivered, with its whole story, written once and never changed.

On the wire a letter is the original record (key, value and headers as they came) with headers of ours added:
``kafka_dlt-*``, which Spring's tools read, and ``writeback-letter-story``, JSON with a version, which holds all the
rest. An original header whose name is one of ours (the event was somebody's letter before) travels with a ``~`` in
front, so nothing piles up and nothing is lost.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, NamedTuple

from pydantic import InstanceOf, TypeAdapter

from dead_letter.letter.fingerprint import fingerprint
from dead_letter.letter.foreign import read_foreign
from topics.errors import MalformedEvent
from topics.event import codec
from topics.log import Headers, Partition, Record
from topics.names import DEFAULT, MAX_EVIDENCE_BYTES, slug_of

VERSION = 1
STORY = "writeback-letter-story"
FOREIGN = "foreign"
NULL_KEY = b"writeback-letter-null-key"
"""Stands in for the key of a record that has neither key nor value: Kafka's client refuses those."""

MAX_TEXT = 4_096
"""Characters of a reason or an excerpt that are kept."""
SHORT_REASON = 200
"""Characters of a reason in a letter that its topic would not take otherwise."""
_ROOM_FOR_REST = 16_384
"""Bytes of the evidence that JSON punctuation and the ``kafka_dlt-*`` names may take."""

_OURS = re.compile(r"~*(kafka_dlt-|writeback-letter)")


@dataclass(frozen=True, slots=True)
class Attempt:
    """One call. ``outcome``: the verdict's name in lower case; ``ms``: how long it took; ``excerpt``: redacted."""

    number: int
    time: float
    outcome: str
    reason: str
    ms: float
    status: int | None = None
    excerpt: str = ""
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Letter:
    """``record`` is the original, untouched.

    ``verdict``: "rejected", "malformed", "unknown-connection", "unknown-function", "exhausted", "unknown-outcome",
    "blocked"; "foreign" for a letter that others wrote.
    ``omitted``: attempts that were dropped from the middle of ``attempts`` to keep the evidence in its bounds.
    """

    id: str
    record: InstanceOf[Record]
    connection: str
    object: str | None
    operation: str | None
    event_id: str | None
    event_key: str | None
    verdict: str
    reason: str
    status: int | None
    excerpt: str
    attempts: tuple[Attempt, ...]
    connector: str
    connector_version: str
    idempotency_key: str | None
    time: float
    possible_duplicate: bool = False
    blocked_by: str | None = None
    replay_of: str | None = None
    replay_number: int = 0
    omitted: int = 0

    @property
    def fingerprint(self) -> str:
        """The same for letters of the same problem: ids, numbers, addresses and quoted words do not count."""
        return fingerprint(self.connection, self.object, self.operation, self.verdict, self.status, reason=self.reason)


_LETTER = TypeAdapter(Letter)


class Encoded(NamedTuple):
    """What is sent to ``writeback.dead-letter``; never both ``key`` and ``value`` None."""

    key: bytes | None
    value: bytes | None
    headers: Headers


def letter_id(record: Record) -> str:
    """The id of the letter for this record.

    The same when a crash makes us write it twice, and another one when the topic was deleted and made again.
    """
    place = f"{record.partition.topic}/{record.partition.number}/{record.offset}/{record.timestamp_ms}"
    return hashlib.sha256(place.encode()).hexdigest()[:24]


def encode(letter: Letter, group: str = DEFAULT.worker_group) -> Encoded:
    """The record of a letter; adds at most ``MAX_EVIDENCE_BYTES`` to the original. ``group``: its worker's."""
    record = letter.record
    kept = tuple((f"~{name}" if _OURS.match(name) else name, value) for name, value in record.headers)
    standing_in = record.key is None and record.value is None
    spring = _spring(letter, group)
    spent = len(kept) - sum(mine == theirs for (mine, _), (theirs, _) in zip(kept, record.headers, strict=True))
    spent += sum(len(name) + len(value) for name, value in spring)
    story = _story(letter, MAX_EVIDENCE_BYTES - spent - _ROOM_FOR_REST)
    if standing_in:
        story["null_key"] = True
    return Encoded(NULL_KEY if standing_in else record.key, record.value, (*kept, *spring, (STORY, _json(story))))


def shorter(letter: Letter) -> Letter | None:
    """The letter with less evidence, for a topic that is too small for it; None when no more can be left out.

    First the attempts between the first and the last go, then what the vendor said at each, then what it said at the
    end, the attempts, and all but the beginning of the reason. The event itself stays as it is: it is to be replayed.
    """
    ends = tuple(letter.attempts[index] for index in sorted({0, len(letter.attempts) - 1})) if letter.attempts else ()
    left_out = letter.omitted + len(letter.attempts)
    steps = (
        replace(letter, attempts=ends, omitted=left_out - len(ends)),
        replace(letter, attempts=tuple(replace(attempt, excerpt="", reason="") for attempt in letter.attempts)),
        replace(letter, excerpt=""),
        replace(letter, attempts=(), omitted=left_out),
        replace(letter, reason=letter.reason[:SHORT_REASON]),
    )
    return next((step for step in steps if step != letter), None)


def decode(record: Record) -> Letter:
    """The letter of a record of ``writeback.dead-letter``. Never raises.

    A letter of another writer, or one that cannot be read, comes back with verdict "foreign" and everything that is in
    the record. Fields of a later version are ignored.
    """
    told = [value for name, value in record.headers if name == STORY]
    if not told:
        return _foreign(record)
    try:
        return _told(record, json.loads(told[-1]))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return raw(record, f"its {STORY} header cannot be read: {error!r}")


def _told(record: Record, story: Mapping[str, Any]) -> Letter:
    place = story["original"]
    original = Record(
        Partition(str(place["topic"]), int(place["partition"])),
        int(place["offset"]),
        int(place["timestamp_ms"]),
        None if story.get("null_key") else record.key,
        record.value,
        tuple(
            (name[1:] if name.startswith("~") and _OURS.match(name) else name, value)
            for name, value in record.headers
            if name.startswith("~") or not _OURS.match(name)
        ),
    )
    return _LETTER.validate_python({**story, "record": original})


def _foreign(record: Record) -> Letter:
    origin = read_foreign(record)
    if origin is None:
        return raw(record, "it carries no headers that say where it came from or why")
    return _stranger(record, origin.record, origin.reason, origin.excerpt)


def raw(record: Record, reason: str) -> Letter:
    """A letter that holds the record of ``writeback.dead-letter`` as it lies there, whatever it is."""
    return _stranger(record, record, reason, "")


def _stranger(record: Record, original: Record, reason: str, excerpt: str) -> Letter:
    try:
        event = codec.decode(original)
    except MalformedEvent:
        event = None
    return Letter(
        id=letter_id(record),
        record=original,
        connection=slug_of(original.partition.topic) or (event.connection if event else ""),
        object=event.object if event else None,
        operation=str(event.operation) if event else None,
        event_id=event.id if event else None,
        event_key=event.key if event else None,
        verdict=FOREIGN,
        reason=reason[:MAX_TEXT],
        status=None,
        excerpt=excerpt[:MAX_TEXT],
        attempts=(),
        connector="",
        connector_version="",
        idempotency_key=None,
        time=record.timestamp_ms / 1_000,
    )


def _spring(letter: Letter, group: str) -> list[tuple[str, bytes]]:
    record = letter.record
    return [
        ("kafka_dlt-original-topic", record.partition.topic.encode()),
        ("kafka_dlt-original-partition", record.partition.number.to_bytes(4, "big", signed=True)),
        ("kafka_dlt-original-offset", record.offset.to_bytes(8, "big", signed=True)),
        ("kafka_dlt-original-timestamp", record.timestamp_ms.to_bytes(8, "big", signed=True)),
        ("kafka_dlt-original-timestamp-type", b"CreateTime"),
        ("kafka_dlt-original-consumer-group", group.encode()),
        ("kafka_dlt-exception-fqcn", f"writeback.{letter.verdict[:64]}".encode("utf-8", "replace")),
        ("kafka_dlt-exception-message", letter.reason[:MAX_TEXT].encode("utf-8", "replace")),
    ]


def _story(letter: Letter, budget: int) -> dict[str, Any]:
    """Everything but the record, with as many attempts from both ends as fit into ``budget`` bytes."""
    cut = {field.name: _cut(getattr(letter, field.name)) for field in fields(Letter) if field.name != "record"}
    record = letter.record
    place = {
        "topic": record.partition.topic,
        "partition": record.partition.number,
        "offset": record.offset,
        "timestamp_ms": record.timestamp_ms,
    }
    rest = {**cut, "v": VERSION, "original": place, "attempts": []}
    attempts = _both_ends([_short(attempt) for attempt in letter.attempts], budget - len(_json(rest)))
    omitted = letter.omitted + len(letter.attempts) - len(attempts)
    return {**rest, "omitted": omitted, "attempts": [asdict(attempt) for attempt in attempts]}


def _short(attempt: Attempt) -> Attempt:
    return replace(attempt, **{field.name: _cut(getattr(attempt, field.name)) for field in fields(Attempt)})


def _cut(value: Any) -> Any:
    return value[:MAX_TEXT] if isinstance(value, str) else value


def _both_ends(attempts: Sequence[Attempt], budget: int) -> list[Attempt]:
    """The last, the first, the last but one, ... until ``budget`` bytes of JSON are used; in their order again."""
    kept: set[int] = set()
    for turn in range(len(attempts)):
        index = turn // 2 if turn % 2 else len(attempts) - 1 - turn // 2
        budget -= len(_json(asdict(attempts[index]))) + 1
        if budget < 0:
            break
        kept.add(index)
    return [attempts[index] for index in sorted(kept)]


def _json(value: Any) -> bytes:
    """Compact UTF-8; a lone surrogate, which UTF-8 cannot carry, becomes a question mark."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
