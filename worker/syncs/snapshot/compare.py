"""Finds what has to be sent: compares the rows of the source with those that were sent before. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

from worker.syncs.source.ordering import Key

Fields = dict[str, Any]
Kind = Literal["added", "changed", "removed", "full"]


class Change(NamedTuple):
    """``row``: all fields as they are now, or, of a removed row, as they were last. ``old``: the values replaced.

    ``names``: the fields of a changed row that differ. None: send the whole row, because its last event became a dead
    letter.
    """

    kind: Kind
    key: Key
    row: Fields
    names: tuple[str, ...] | None = None
    old: Fields = {}  # noqa: RUF012 - never changed


class Compared(NamedTuple):
    changes: list[Change]
    unchanged: int
    held: int
    """Unchanged rows whose event is a dead letter."""


def compare(
    before: Mapping[Key, Fields],
    now: Iterable[tuple[Key, Fields]],
    *,
    dead: Mapping[Key, Kind],
    failed: bool,
) -> Compared:
    """Added and changed rows, in the order of ``now``.

    ``dead``: the rows whose last event is a dead letter. ``failed``: send these again, changed or not.
    """
    changes: list[Change] = []
    unchanged = held = 0
    for key, row in now:
        old = before.get(key)
        if old is None:
            changes.append(Change("added", key, row))
            continue
        names = tuple(name for name, value in row.items() if name not in old or differ(old[name], value))
        died = dead.get(key)
        if died is not None and (names or failed):
            replaced = {name: old.get(name) for name in names}
            changes.append(Change("added" if died == "added" else "changed", key, row, None, replaced))
        elif names:
            changes.append(Change("changed", key, row, names, {name: old.get(name) for name in names}))
        elif died is not None:
            held += 1
        else:
            unchanged += 1
    return Compared(changes, unchanged, held)


def differ(one: Any, other: Any) -> bool:
    """1 and 1.0 are the same number; 1 and true are not the same value."""
    return bool(one != other) or isinstance(one, bool) is not isinstance(other, bool)
