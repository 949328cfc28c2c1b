"""Where a letter stands among those of its record."""

from __future__ import annotations

from dataclasses import dataclass

from dead_letter.replay.lineage import key_of, lineage
from dead_letter.store.parking import Parked
from dead_letter.store.rows import Summary
from dead_letter.store.store import LetterStore


@dataclass(frozen=True, slots=True)
class Standing:
    """``before``, ``after``: the open letters of its record, in the order of their events."""

    parked: Parked | None
    before: tuple[str, ...]
    after: tuple[str, ...]


def standing(store: LetterStore, letter: Summary) -> Standing:
    key = key_of(letter)
    parked = store.parking.find([key]).get(key) if key is not None else None
    before: list[str] = []
    after: list[str] = []
    side = before
    for other in lineage(store, [letter]).queue(letter):
        if other.id == letter.id:
            side = after
        elif other.state == "open":
            side.append(other.id)
    return Standing(parked, tuple(before), tuple(after))
