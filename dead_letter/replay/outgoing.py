"""What a replay puts back onto the topic: the original's bytes, or the event as edited."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from dead_letter.replay.selection import target
from dead_letter.store.rows import Stored
from topics.errors import MalformedEvent
from topics.event import codec
from topics.event.event import Event, Operation, Replay
from topics.log import Headers
from topics.names import Names

_MARKS = {codec.REPLAY_LETTER, codec.REPLAY_NUMBER}


class Send(NamedTuple):
    """What is put back onto the topic."""

    topic: str
    partition: int | None
    key: bytes | None
    value: bytes | None
    headers: Headers


def event_to_send(letter: Stored, topics: Mapping[str, int], names: Names, *, new_id: bool = False) -> Send:
    """The original's bytes, or the edited event, with the mark of the replay, to the original's partition.

    Raises ``MalformedEvent`` or ``ValueError`` for an edit that makes no event.
    """
    summary, record = letter.summary, letter.letter.record
    replay = Replay(letter=summary.id, number=replay_number(letter))
    topic = target(summary, names)
    if summary.edited is None:
        kept = tuple(header for header in record.headers if header[0].lower() not in _MARKS)
        number = record.partition.number if record.partition.number < topics.get(topic, 0) else None
        return Send(topic, number, record.key, record.value, (*kept, *codec.replay_headers(replay)))
    event = edited_event(letter, new_id=new_id).model_copy(update={"replay": replay})
    encoded = codec.encode(event)
    same_key = encoded.key == record.key and topic == record.partition.topic
    return Send(topic, record.partition.number if same_key else None, *encoded)


def edited_event(letter: Stored, *, new_id: bool = False) -> Event:
    """The event as edited: what was not edited is the original's, as far as there was one."""
    edit = letter.summary.edited
    if edit is None:
        return codec.decode(letter.letter.record)
    changed = {
        "operation": Operation(edit.operation),
        "object": edit.object,
        "key": edit.key,
        "fields": edit.fields,
    }
    try:
        original = codec.decode(letter.letter.record).model_dump()
    except MalformedEvent:
        original = {"connection": letter.summary.connection, "source": "writeback-dead-letters"}
        if letter.letter.event_id:
            original["id"] = letter.letter.event_id
    if new_id:
        original.pop("id", None)
    return Event.model_validate({**original, **changed})


def replay_number(letter: Stored) -> int:
    """Grows with every replay of the event, also from letter to letter."""
    return letter.letter.replay_number + letter.summary.replays + 1
