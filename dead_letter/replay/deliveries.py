"""What the ledger says of the records of some letters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from dead_letter.replay.lineage import Lineage, record_of
from dead_letter.store.rows import Summary
from dead_letter.store.store import LetterStore
from topics.errors import MalformedEvent
from topics.event.result import Result, unpack
from topics.log import Log
from topics.log.backlog import partitions_of, read_to_end

Place = tuple[str, int, str]
Delivered = Mapping[Place, int]
"""By topic, partition and record: the offset at which its last delivered event lay first."""


def place_of(letter: Summary) -> Place:
    return letter.topic, letter.partition, record_of(letter)


@dataclass(frozen=True, slots=True)
class Known:
    """``last``: see ``Delivered``. ``letters``: ids of letters whose own event has been delivered all the same."""

    last: Delivered
    letters: frozenset[str]


def deliveries(log: Log, store: LetterStore, letters: Sequence[Summary], kin: Lineage) -> Known:
    """A replayed event counts where it lay first: one that came while it waited is later, though its offset is not.

    A letter of an event that was delivered is there where a worker of another store has written it, or an older one
    that did not yet hold what its store does not know.
    """
    wanted = {place_of(letter): letter for letter in letters if letter.event_key is not None}
    own = {(letter.topic, letter.partition, letter.offset, letter.event_id): letter.id for letter in letters}
    found: dict[Place, int] = {}
    went: set[str] = set()
    copies = _first_offsets(store, wanted.values(), kin) if wanted else {}
    for records in read_to_end(log, dict.fromkeys(partitions_of(log, log.names.results), 0)) if letters else ():
        for result in (result for record in records for result in _results(record.value)):
            if result.outcome != "delivered":
                continue
            place = (result.topic, result.partition, f"{result.object}/{result.key}")
            if place in wanted:
                offset = copies.get((place, result.offset), result.offset)
                found[place] = max(found.get(place, -1), offset)
            letter = own.get((result.topic, result.partition, result.offset, result.id))
            if letter is not None:
                went.add(letter)
    return Known(found, frozenset(went))


def _first_offsets(store: LetterStore, letters: Iterable[Summary], kin: Lineage) -> dict[tuple[Place, int], int]:
    """Where the events of the copies on these records' places lay first, by where the copies lie."""
    replayed = {other.id: other for letter in letters for other in kin.queue(letter) if other.replays}
    return {
        ((copy.partition.topic, copy.partition.number, record_of(replayed[letter])), copy.offset): first
        for letter, copies in store.copies_of(sorted(replayed)).items()
        for first in (kin.first_offset(replayed[letter]),)
        for copy in copies
    }


def _results(value: bytes | None) -> list[Result]:
    try:
        return unpack(value)
    except MalformedEvent:
        return []  # a record of a later version is no reason to refuse a replay
