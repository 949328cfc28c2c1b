"""The order of keys in which source and snapshot are merged, and a sort for databases that order keys differently.

Keys are compared as Python compares them: numbers by value, texts by code point, several columns one after the other.
Where a column has values of different kinds, as SQLite allows, numbers come before texts.
"""

from __future__ import annotations

import heapq
import marshal
import pickle
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import lt
from typing import Any

Row = tuple[Any, ...]
Key = Any
"""The value of one column, or a tuple for several: texts, numbers or booleans, as JSON has them."""

RUN = 50_000
"""How many rows are sorted in memory; more are sorted in runs of this size, and merged from temporary files."""


class WrongOrder(Exception):
    """The database orders this key differently."""


class DuplicateKey(Exception):
    """Two rows have the same key; it is the only argument."""


def comparable(key: Key) -> Any:
    """A stand-in for a key that can be compared with one of another kind."""
    if isinstance(key, tuple):
        return tuple(map(comparable, key))
    return (1, key) if isinstance(key, str) else (0, key)


def less(one: Key, other: Key) -> bool:
    try:
        return bool(one < other)
    except TypeError:
        return bool(comparable(one) < comparable(other))


def check(keys: Sequence[Key], before: Key | None) -> None:
    """Raises ``WrongOrder`` or ``DuplicateKey`` unless the keys rise. ``before``: the last key of the chunk before."""
    if not keys:
        return
    try:
        if (before is None or before < keys[0]) and all(map(lt, keys, keys[1:])):
            return
    except TypeError:
        pass
    for one, other in zip([*([] if before is None else [before]), *keys], keys[before is None :], strict=False):
        if not less(one, other):
            if one == other:
                raise DuplicateKey(one)
            raise WrongOrder


def up_to(keys: Sequence[Key], bound: Key) -> int:
    """How many of these sorted keys are at most the bound."""
    low, high = 0, len(keys)
    while low < high:
        middle = (low + high) // 2
        if less(bound, keys[middle]):
            high = middle
        else:
            low = middle + 1
    return low


def sorted_here(chunks: Iterable[Sequence[Row]], key_of: Callable[[Row], Key], size: int) -> Iterator[list[Row]]:
    """The same rows sorted by key, ``size`` at a time. Sorted runs wait in temporary files, so memory stays flat."""
    runs: list[Iterator[tuple[Any, Row]]] = []
    pending: list[tuple[Any, Row]] = []
    for chunk in chunks:
        pending += [(comparable(key_of(row)), row) for row in chunk]
        if len(pending) >= RUN:
            runs.append(_spilled(pending))
            pending = []
    pending.sort(key=_first)
    merged = heapq.merge(*runs, pending, key=_first)
    out: list[Row] = []
    for _, row in merged:
        out.append(row)
        if len(out) == size:
            yield out
            out = []
    if out:
        yield out


def _first(item: tuple[Any, Row]) -> Any:
    return item[0]


def _spilled(items: list[tuple[Any, Row]]) -> Iterator[tuple[Any, Row]]:
    items.sort(key=_first)
    file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by the reader at its end
    for start in range(0, len(items), 1_000):
        pickle.dump(items[start : start + 1_000], file)
    file.seek(0)

    def read() -> Iterator[tuple[Any, Row]]:
        with file:
            while True:
                try:
                    yield from pickle.load(file)  # noqa: S301 - our own, of a moment ago, in an unnamed file
                except EOFError:
                    return

    return read()


def digest_text(rows: Sequence[Row]) -> bytes:
    """Bytes that are equal for equal rows (values and types), in every process."""
    try:
        # version 2 writes no back-references: these depend on which objects are shared, not on their values
        return marshal.dumps(rows, 2)  # type: ignore[arg-type]
    except ValueError:  # a Decimal, a time, a UUID
        return repr(rows).encode(errors="surrogatepass")
