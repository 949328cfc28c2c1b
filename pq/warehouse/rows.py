"""What ``fetch`` gives: rows as dicts, in the memory of a few thousand of them however many there are."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from functools import cache
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
        self._first = list(_dicts(self.columns, result.fetchmany(CHUNK)))
        self._rest: Opened | None = None
        self._all: list[Row] | None = None
        if len(self._first) < CHUNK:
            self._all = self._first
            stack.close()
        else:
            self._rest = (stack, result)
            weakref.finalize(self, stack.close)

    def __iter__(self) -> Iterator[Row]:
        return self._stream() if self._all is None else iter(self._all)

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


def _dicts(columns: tuple[str, ...], rows: Sequence[Any]) -> Iterator[Row]:
    return _maker(len(columns))(rows, *columns)


@cache
def _maker(width: int) -> Callable[..., Iterator[Row]]:
    """What makes dicts of rows this wide, given the rows and then each column's name.

    Compiled, as ``namedtuple`` is, out of names of its own alone: ``{k0: v0, k1: v1}`` takes half the time of
    ``dict(zip(...))``, which is a tenth of a loop over the rows.
    """
    keys = "".join(f", k{number}" for number in range(width))
    values = "".join(f"v{number}, " for number in range(width))
    pairs = ", ".join(f"k{number}: v{number}" for number in range(width))
    make: Callable[..., Iterator[Row]] = eval(f"lambda rows{keys}: ({{{pairs}}} for ({values}) in rows)")  # noqa: S307
    return make
