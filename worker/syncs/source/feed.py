"""Reads the rows of the source in the order of their keys, piece by piece, up to a given key."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from worker.syncs.errors import SourceFailed
from worker.syncs.source.ordering import DuplicateKey, Key, Row, check, up_to
from worker.syncs.source.shape import Refused, Shape


class Feed:
    """``read`` counts every row; ``highest`` is the greatest value of the cursor's column.

    ``refuse`` is told the rows without a key. Raises ``WrongOrder`` when the database orders keys in another way, and
    ``SourceFailed`` for a key that two rows have.
    """

    def __init__(
        self,
        shape: Shape,
        chunks: Iterator[Sequence[Row]],
        refuse: Callable[[Refused], None],
        *,
        tick: Callable[[int], None],
    ) -> None:
        self._shape = shape
        self._chunks = chunks
        self._refuse = refuse
        self._tick = tick
        self._rows: Sequence[Row] = ()
        self._keys: Sequence[Key] = ()
        self._at = 0
        self._last: Key | None = None
        self.read = 0
        self.highest: Any = None

    def take(self, bound: Key | None, limit: int) -> tuple[list[Row], list[Key], bool]:
        """At most ``limit`` rows with keys up to ``bound`` (None: any); True when there are no more of these."""
        rows: list[Row] = []
        keys: list[Key] = []
        while len(rows) < limit:
            if self._at == len(self._rows) and not self._fill():
                return rows, keys, True
            end = len(self._keys) if bound is None else max(self._at, up_to(self._keys, bound))
            stop = min(end, self._at + limit - len(rows))
            rows += self._rows[self._at : stop]
            keys += self._keys[self._at : stop]
            self._at = stop
            if stop < len(self._keys):
                return rows, keys, stop == end
        return rows, keys, False

    def _fill(self) -> bool:
        for chunk in self._chunks:
            self.read += len(chunk)
            self._tick(len(chunk))
            if self._shape.cursor is not None:
                self._note_cursor(chunk)
            rows, keys = self._shape.with_key(chunk, self._refuse)
            try:
                check(keys, self._last)
            except DuplicateKey as error:
                named = ", ".join(self._shape.columns[place] for place in self._shape.key)
                raise SourceFailed(
                    f"two rows have the same key ({named} = {error.args[0]!r}): a record has one row; "
                    "group the query, or name more columns in key"
                ) from None
            if keys:
                self._rows, self._keys, self._at, self._last = rows, keys, 0, keys[-1]
                return True
        return False

    def _note_cursor(self, chunk: Sequence[Row]) -> None:
        place = self._shape.cursor
        assert place is not None
        values = [row[place] for row in chunk if row[place] is not None]
        try:
            if values and (self.highest is None or max(values) > self.highest):
                self.highest = max(values)
        except TypeError as error:
            raise SourceFailed(
                f"the cursor {self._shape.columns[place]} has values of several kinds: {error}"
            ) from None
