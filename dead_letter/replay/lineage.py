"""The letters of a record, in the order of its events.

An event that was replayed and died again has another letter, of a later offset: its story goes on there, and its turn
among the record's events stays where it lay first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dead_letter.store.parking import Key
from dead_letter.store.rows import Summary, record_hash
from dead_letter.store.store import LetterStore
from topics.names import slug_of

Turn = tuple[str, int, int, int, int]
Queue = tuple[str, int, str | None]


def key_of(letter: Summary) -> Key | None:
    """Its key as the worker parks it, that of the original event; None when there is none to park."""
    slug = slug_of(letter.topic)
    return None if slug is None or letter.event_key is None else Key(slug, record_of(letter))


def record_of(letter: Summary) -> str:
    return f"{letter.object}/{letter.event_key}"


class Lineage:
    """All letters of some records, whatever their state."""

    def __init__(self, letters: Iterable[Summary]) -> None:
        self._by_id = {letter.id: letter for letter in letters}
        self._first: dict[str, int] = {}
        self._queues: dict[Queue, list[Summary]] = {}
        self._records: dict[str | None, list[Summary]] = {}
        self._replayed = {letter.replay_of for letter in self._by_id.values()}
        for letter in sorted(self._by_id.values(), key=self.turn):
            self._queues.setdefault(queue_of(letter), []).append(letter)
            self._records.setdefault(letter.record_hash, []).append(letter)

    def turn(self, letter: Summary) -> Turn:
        """Sorts letters into the order of their events."""
        return letter.topic, letter.partition, self.first_offset(letter), letter.offset, letter.row

    def first_offset(self, letter: Summary) -> int:
        """Where its event lay before it was ever replayed, as an event of this record."""
        chain: list[str] = []
        seen = {letter.id}
        while letter.id not in self._first:
            chain.append(letter.id)
            before = self._by_id.get(letter.replay_of or "")
            if before is None or before.id in seen or queue_of(before) != queue_of(letter):
                self._first[letter.id] = letter.offset
                break
            seen.add(before.id)
            letter = before
        first = self._first[letter.id]
        self._first.update(dict.fromkeys(chain, first))
        return first

    def goes_on(self, letter: Summary) -> bool:
        """It was replayed and died again: what counts is its next letter."""
        return letter.id in self._replayed

    def queue(self, letter: Summary) -> Sequence[Summary]:
        """The letters of its record in its partition, itself among them, in the order of their events."""
        return [letter] if letter.record_hash is None else self._queues[queue_of(letter)]

    def of_key(self, key: Key) -> Sequence[Summary]:
        """The letters of a parked key, in the order of their events."""
        return [letter for letter in self._records.get(hash_of(key), ()) if key_of(letter) == key]


def lineage(store: LetterStore, letters: Iterable[Summary]) -> Lineage:
    """Of these letters and all others of their records."""
    mine = {letter.id: letter for letter in letters}
    hashes = sorted({letter.record_hash for letter in mine.values() if letter.record_hash is not None})
    return Lineage({**mine, **{letter.id: letter for letter in store.same_records(hashes)}}.values())


def lineage_of_keys(store: LetterStore, keys: Iterable[Key]) -> Lineage:
    return Lineage(store.same_records(sorted({hash_of(key) for key in keys})))


def hash_of(key: Key) -> str:
    """The ``Summary.record_hash`` of its letters."""
    object_name, _, event_key = key.record_key.partition("/")
    return record_hash(key.connection, object_name, event_key)


def queue_of(letter: Summary) -> Queue:
    """Letters of the same one are of the same record and partition."""
    return letter.topic, letter.partition, letter.record_hash
