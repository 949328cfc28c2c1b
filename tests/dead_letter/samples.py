"""Letters for tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import update

from dead_letter.letter.letter import Attempt, Letter, encode, letter_id
from dead_letter.replay.claim import Claim
from dead_letter.store.filters import Filter
from dead_letter.store.store import Arrival, LetterStore
from dead_letter.store.tables import REPLAYS
from topics.event import codec
from topics.event.event import Event, Operation
from topics.log import Log, Partition, Record
from topics.names import DEFAULT, MAX_LETTER_BYTES

START = 1_700_000_000.0


def an_event(key: str | None = "1", **fields: Any) -> Event:
    return Event(operation=Operation.UPDATE, connection="hubspot", object="contact", key=key, fields=fields or {"a": 1})


def a_record(offset: int = 0, event: Event | None = None) -> Record:
    event = event or an_event(key=str(offset))
    return Record(Partition(DEFAULT.events_topic(event.connection), 0), offset, 1_000 + offset, *codec.encode(event))


def a_letter(offset: int = 0, *, event: Event | None = None, **changes: Any) -> Letter:
    event = event or an_event(key=str(offset))
    record = changes.pop("record", None) or a_record(offset, event)
    said: dict[str, Any] = {
        "id": letter_id(record),
        "record": record,
        "connection": event.connection,
        "object": event.object,
        "operation": str(event.operation),
        "event_id": event.id,
        "event_key": event.key,
        "verdict": "rejected",
        "reason": "Property 'emial' does not exist",
        "status": 400,
        "excerpt": '{"message": "no"}',
        "attempts": (Attempt(1, START, "rejected", "no", 51.0, 400, '{"message": "no"}', "req-1"),),
        "connector": "hubspot",
        "connector_version": "1.0",
        "idempotency_key": event.id,
        "time": START + offset,
    }
    return Letter(**{**said, **changes})


def as_record(letter: Letter, offset: int = 0, timestamp_ms: int | None = None) -> Record:
    """The record of ``writeback.dead-letter`` that the letter is written as."""
    written = 5_000 + offset if timestamp_ms is None else timestamp_ms
    return Record(Partition(DEFAULT.dead_letter, 0), offset, written, *encode(letter))


def publish(log: Log, *letters: Letter) -> None:
    """Write them to the topic of letters; returns when the log has them."""
    producer = log.producer(max_record_bytes=MAX_LETTER_BYTES)
    sent = [producer.send(DEFAULT.dead_letter, **encode(letter)._asdict()) for letter in letters]
    producer.close(30.0)
    for one in sent:
        one.result(0)


def claimed(store: LetterStore) -> Claim:
    """All that is open, for a replay, as if the time of every replay before it were up; without its thread."""
    with store._engine.begin() as connection:
        connection.execute(update(REPLAYS).values(expires=0))
    claim = Claim(store, who="ada", monotonic=lambda: 0.0)
    claim.epoch = store.claims.begin("ada", "here", 1)
    claim.take([letter.id for letter in store.in_order(Filter(state="open"))])
    return claim


def replayed(store: LetterStore, letter: Letter, detail: Mapping[str, Any]) -> None:
    """A replay has sent it."""
    epoch = claimed(store).epoch
    store.mark_replayed({letter.id: detail}, epoch=epoch, who="ada", now=START)
    store.claims.end(epoch)


def arrivals(*letters: Letter, start: int = 0) -> list[Arrival]:
    return [Arrival(letter, as_record(letter, start + turn)) for turn, letter in enumerate(letters)]
