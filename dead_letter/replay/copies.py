"""Copies that a replay made and could not mark any more: it was killed, or the store went away."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dead_letter.replay.claim import Claim
from dead_letter.store.rows import Summary
from dead_letter.store.store import LetterStore
from topics.event.codec import REPLAY_LETTER, REPLAY_NUMBER
from topics.log import Log, Partition, Position, Record
from topics.log.backlog import partitions_of, read_to_end


def find_copies(log: Log, letters: Iterable[Summary]) -> dict[str, Position]:
    """Where the copies lie that were announced and not marked, as far as they were made."""
    sought: dict[tuple[str, str], str] = {}
    starts: dict[Partition, int] = {}
    for letter in letters:
        if letter.copying is None:
            continue
        sought[letter.id, str(letter.copying.number)] = letter.id
        for number, offset in letter.copying.starts.items():
            place = Partition(letter.copying.topic, number)
            starts[place] = min(offset, starts.get(place, offset))
    there = {place for topic in {place.topic for place in starts} for place in partitions_of(log, topic)}
    found: dict[str, Position] = {}
    for records in read_to_end(log, {place: start for place, start in starts.items() if place in there}):
        for record in records:
            letter_id = sought.get(_mark(record))
            if letter_id is not None:
                found[letter_id] = Position(record.partition, record.offset)
    return found


def mark_found(log: Log, store: LetterStore, claim: Claim, letters: Sequence[Summary], *, who: str, now: float) -> None:
    """Mark those of these whose copies are out, before somebody edits or discards what has gone already."""
    begun = [letter.id for letter in letters if letter.copying is not None]
    others = claim.take(begun)
    # as they are now that nobody else changes them: a replay may have marked them, and ended, since they were looked at
    known = {letter.id: letter for letter in store.again(begun) if letter.state == "open" and letter.copying}
    details = {
        letter: {
            "number": copying.number,
            "topic": place.partition.topic,
            "partition": place.partition.number,
            "offset": place.offset,
        }
        for letter, place in find_copies(log, known.values()).items()
        if letter not in others and (copying := known[letter].copying) is not None
    }
    store.mark_replayed(details, epoch=claim.epoch, who=who, now=now)


def _mark(record: Record) -> tuple[str, str]:
    headers = {name.lower(): value for name, value in record.headers}
    letter, number = ((headers.get(name) or b"").decode("utf-8", "replace") for name in (REPLAY_LETTER, REPLAY_NUMBER))
    return letter, number
