"""The parked keys that a replay touches: their letters go one after another, and each key is closed behind its last."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from dead_letter.replay.lineage import key_of
from dead_letter.replay.selection import BLOCKED
from dead_letter.store.parking import Key
from dead_letter.store.rows import Summary
from dead_letter.store.store import LetterStore


class Turns:
    """Of the letters of one replay, in the order in which they go.

    Every key counts until it is known not to be parked: it can become so while the replay runs.
    """

    def __init__(self, store: LetterStore, letters: Sequence[Summary]) -> None:
        keys = {letter.id: key for letter in letters if (key := key_of(letter)) is not None}
        parked = store.parking.find(set(keys.values()))
        self._letters = {letter.id: letter for letter in letters}
        self._keys = keys
        self._left = Counter(keys.values())
        self._went: set[str] = set()
        self._touched: dict[Key, Summary] = {}
        self._before: dict[str, str] = {}
        last: dict[Key, str] = {}
        for letter in letters:
            key = keys.get(letter.id)
            if key in parked or (key is not None and letter.verdict == BLOCKED):
                if key in last:
                    self._before[letter.id] = last[key]
                last[key] = letter.id

    def before(self, letter: str) -> str | None:
        """The letter that has to be sent before this one and is not known to have been, or None."""
        before = self._before.get(letter)
        return None if before in self._went else before

    def went(self, letters: Iterable[str]) -> None:
        """Acknowledged by the log, and marked."""
        for letter in letters:
            self._went.add(letter)
            if letter in self._keys:
                self._touched[self._keys[letter]] = self._letters[letter]

    def past(self, letters: Iterable[str]) -> None:
        """These letters will not be sent in this replay any more."""
        self._left.subtract(self._keys[letter] for letter in letters if letter in self._keys)

    def through(self) -> list[Summary]:
        """A letter of each key that was touched and has no more to come."""
        return [letter for key, letter in self._touched.items() if not self._left[key]]

    def touched(self) -> list[Summary]:
        """A letter of each key that was touched and is not closed."""
        return list(self._touched.values())

    def closed(self, letters: Iterable[Summary]) -> None:
        for letter in letters:
            del self._touched[self._keys[letter.id]]
