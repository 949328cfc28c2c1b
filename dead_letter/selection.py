"""What a replay would do with each letter, before it does anything: the dry run, and the plan of the real one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from dead_letter.copies import find_copies
from dead_letter.letter import FOREIGN
from dead_letter.reading import partitions_of, read_to_end
from dead_letter.rows import Summary
from dead_letter.store import LetterStore
from topics.errors import MalformedEvent
from topics.log import Log, Position
from topics.names import EVENTS_PREFIX, RESULTS, slug_of
from topics.result import unpack

Fate = Literal["eligible", "ineligible", "superseded", "copied"]
"""``copied``: an earlier replay was cut off behind the copy of this one; it only has to be marked."""

NEEDS_EDIT = {FOREIGN, "malformed"}

Delivered = Mapping[tuple[str, int, str], int]
"""The last offset at which an event of a record was delivered: by topic, partition and ``<object>/<key>``."""


@dataclass(frozen=True, slots=True)
class Planned:
    """``why``: what stands against it, empty when it is eligible; ``copy``: where a copied one lies."""

    letter: Summary
    fate: Fate
    why: str = ""
    copy: Position | None = None

    def overruled(self) -> Planned:
        """An operator says that the older event shall go although a newer one went."""
        return replace(self, fate="eligible", why="") if self.fate == "superseded" else self


def survey(log: Log, store: LetterStore, letters: Sequence[Summary]) -> list[Planned]:
    """The plan for these letters, in their order, from all that log, ledger and store know. Changes nothing."""
    copies = find_copies(log, letters)
    return plan(letters, log.topics(), store, delivered=deliveries(log, letters), copies=copies)


def plan(
    letters: Sequence[Summary],
    topics: Mapping[str, int],
    store: LetterStore,
    *,
    delivered: Delivered,
    copies: Mapping[str, Position],
) -> list[Planned]:
    """One answer per letter, in their order.

    Superseded is an add, update, upsert or delete whose record has a later event that was delivered, or a later letter
    that is not going in the same replay: the older event would undo the newer one. Messages never are.
    """
    obstacles = {letter.id: _obstacle(letter, topics) for letter in letters}
    going = {letter for letter, obstacle in obstacles.items() if not obstacle}
    same = _by_record(letters, store)
    planned = []
    for letter in letters:
        if letter.id in copies and letter.state == "open":
            planned.append(Planned(letter, "copied", "an earlier replay had copied it", copies[letter.id]))
        elif obstacles[letter.id]:
            planned.append(Planned(letter, "ineligible", obstacles[letter.id]))
        else:
            newer = _superseded(letter, same.get(letter.record_hash or "", ()), going, delivered)
            planned.append(Planned(letter, "superseded" if newer else "eligible", newer))
    return planned


def deliveries(log: Log, letters: Iterable[Summary]) -> dict[tuple[str, int, str], int]:
    """What the ledger says of the records of these letters: where the last event of each was delivered."""
    wanted = {(letter.topic, letter.partition, _record(letter)) for letter in letters if letter.event_key is not None}
    found: dict[tuple[str, int, str], int] = {}
    if wanted:
        for records in read_to_end(log, dict.fromkeys(partitions_of(log, RESULTS), 0)):
            for record in records:
                _note_deliveries(record.value, wanted, found)
    return found


def _note_deliveries(
    value: bytes | None, wanted: set[tuple[str, int, str]], found: dict[tuple[str, int, str], int]
) -> None:
    try:
        results = unpack(value)
    except MalformedEvent:
        return  # a record of a later version is no reason to refuse a replay
    for result in results:
        place = (result.topic, result.partition, f"{result.object}/{result.key}")
        if result.outcome == "delivered" and place in wanted:
            found[place] = max(found.get(place, -1), result.offset)


def _obstacle(letter: Summary, topics: Mapping[str, int]) -> str:
    if letter.state != "open":
        return f"it is {letter.state} already"
    if letter.verdict in NEEDS_EDIT and letter.edited is None:
        return f"it is {letter.verdict}: give it an event first (writeback dead-letters edit {letter.id[:12]} ...)"
    topic = target(letter)
    if slug_of(topic) is None:
        return f"{topic} is no topic of events ({EVENTS_PREFIX}...)"
    if topic not in topics:
        return f"the topic {topic} does not exist: the connection is gone or was never made"
    return ""


def target(letter: Summary) -> str:
    """The topic a replay goes to: the original one; for an edited stranger, that of its connection."""
    return letter.topic if slug_of(letter.topic) is not None else EVENTS_PREFIX + letter.connection


def _superseded(letter: Summary, same: Iterable[Summary], going: set[str], delivered: Delivered) -> str:
    if letter.operation == "message" or letter.event_key is None:
        return ""
    place = (letter.topic, letter.partition, _record(letter))
    if delivered.get(place, -1) > letter.offset:
        return f"a later event of {_record(letter)} was delivered (offset {delivered[place]})"
    for other in same:
        newer = (other.topic, other.partition) == (letter.topic, letter.partition) and other.offset > letter.offset
        if newer and other.id not in going and other.replay_of != letter.id:
            return f"a later event of {_record(letter)} is the letter {other.id} ({other.state})"
    return ""


def _by_record(letters: Sequence[Summary], store: LetterStore) -> dict[str, list[Summary]]:
    found: dict[str, list[Summary]] = {}
    hashes = sorted({letter.record_hash for letter in letters if letter.record_hash is not None})
    for other in store.same_records(hashes):
        found.setdefault(other.record_hash or "", []).append(other)
    return found


def _record(letter: Summary) -> str:
    return f"{letter.object}/{letter.event_key}"
