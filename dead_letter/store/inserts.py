"""How rows get into the letter store: any number of times, and in it once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, func, select, update

from dead_letter.store.tables import LETTERS, MARKS
from topics.store import inserting

IDS_AT_ONCE = 500
"""Ids in one statement; both databases take far more, their planners are happier with fewer."""


def insert_letters(connection: Connection, rows: Sequence[dict[str, Any]]) -> int:
    """Insert what is not there, neither by its id nor by its place in the topic; how many were new."""
    rows = _distinct(connection, rows)
    if not rows:
        return 0
    ids = [row["id"] for row in rows]
    before = _count(connection, ids)
    connection.execute(inserting(connection, LETTERS).on_conflict_do_nothing(), rows)
    # a letter of a replayed event proves that the first letter was replayed, also in a store made anew
    for origins in parts(sorted({row["replay_of"] for row in rows} - {None})):
        first = update(LETTERS).where(LETTERS.c.id.in_(origins), LETTERS.c.state == "open", LETTERS.c.replays == 0)
        connection.execute(first.values(state="replayed", replays=1, copying=None))
    return _count(connection, ids) - before


def set_mark(connection: Connection, partition: int, end: int, *, backwards: bool) -> None:
    statement = inserting(connection, MARKS).values(partition=partition, next_offset=end)
    ahead = None if backwards else MARKS.c.next_offset < end
    connection.execute(
        statement.on_conflict_do_update(index_elements=["partition"], set_={"next_offset": end}, where=ahead)
    )


def parts(items: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(items), IDS_AT_ONCE):
        yield items[start : start + IDS_AT_ONCE]


def _distinct(connection: Connection, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Two letters of one id about different events are two letters: the later one's id gets its place added."""
    origin = ("topic", "partition", "offset", "timestamp_ms")
    columns = [LETTERS.c[name] for name in origin]
    known: dict[str, tuple[Any, ...]] = {}
    for ids in parts([row["id"] for row in rows]):
        found = connection.execute(select(LETTERS.c.id, *columns).where(LETTERS.c.id.in_(ids)))
        known.update((row[0], tuple(row[1:])) for row in found)
    distinct = []
    for row in rows:
        place = tuple(row[name] for name in origin)
        clash = known.setdefault(row["id"], place) != place
        suffix = f"-{row['letter_partition']}-{row['letter_offset']}"
        distinct.append({**row, "id": row["id"][: 64 - len(suffix)] + suffix} if clash else row)
    return distinct


def _count(connection: Connection, ids: Sequence[str]) -> int:
    query = select(func.count()).select_from(LETTERS)
    return sum(connection.scalar(query.where(LETTERS.c.id.in_(part))) or 0 for part in parts(ids))
