"""What ``fetch`` gives: rows as dicts, in the memory of a few thousand of them however many there are."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from itertools import repeat
from typing import Any, overload

from sqlalchemy import CursorResult

Row = dict[str, Any]
Opened = tuple[ExitStack, CursorResult[Any]]

CHUNK = 1_000


class Rows(Sequence[Row]):
    """The rows of one question; each is a dict by column name.

    Up to 1,000 of them are here at once. A longer answer is read on while it is looped over, and is not kept: a second
    loop asks the warehouse again. ``len``, an index, ``==`` and ``list(...)`` bring all of it into memory.
    """

    def __init__(self, ask: Callable[[], Opened], naming: Callable[[], AbstractContextManager[None]]) -> None:
        self._ask = ask
        self._naming = naming
        stack, result = ask()
        self.columns = tuple(result.keys())
        self._first = _dicts(self.columns, result.fetchmany(CHUNK))
        self._rest: Opened | None = None
        self._all: list[Row] | None = None
        if len(self._first) < CHUNK:
            self._all = self._first
            stack.close()
        else:
            self._rest = (stack, result)
            weakref.finalize(self, stack.close)

    def __iter__(self) -> Iterator[Row]:
        if self._all is not None:
            yield from self._all
            return
        yield from self._stream()

    def __len__(self) -> int:
        return len(self._loaded())

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> list[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | list[Row]:
        return self._loaded()[index]

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Rows):
            other = other._loaded()
        return self._loaded() == other if isinstance(other, list) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        if self._all is not None:
            return repr(self._all)
        return f"<more than {CHUNK:,} rows of {', '.join(self.columns)}>"

    def _loaded(self) -> list[Row]:
        if self._all is None:
            self._all = list(self._stream())
        return self._all

    def _stream(self) -> Iterator[Row]:
        rest, self._rest = self._rest, None
        if rest is None:
            stack, result = self._ask()
        else:
            stack, result = rest
            yield from self._first
        with stack:
            while chunk := self._next(result):
                yield from _dicts(self.columns, chunk)

    def _next(self, result: CursorResult[Any]) -> Sequence[Any]:
        with self._naming():
            return result.fetchmany(CHUNK)


def _dicts(columns: tuple[str, ...], rows: Sequence[Any]) -> list[Row]:
    return list(map(dict, map(zip, repeat(columns), rows)))  # no Python for each row: a fifth of a loop's time
