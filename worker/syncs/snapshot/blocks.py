"""The snapshot in the store: the fields of each row as they were sent, compressed, a thousand rows in a block."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from pydantic_core import from_json
from sqlalchemy import Connection, Engine, Executable, delete, insert, select, update

from topics.event import exact_json
from topics.store import reading
from worker.syncs.snapshot.compare import Change, Fields
from worker.syncs.source.ordering import Key, comparable
from worker.syncs.tables import BLOCKS

BLOCK = 1_000
GAP = 2**44
"""The distance between two positions, so that new blocks fit in between. With no room left, a block just grows."""

NONE = zlib.compress(b"[]")
"""The payload of a block without rows."""

Rows = dict[Key, Fields]


class Block(NamedTuple):
    """A block covers the keys that follow the ``last`` of the block before it, up to its own ``last``."""

    position: int
    last: Key
    size: int
    digest: bytes | None


class Blocks:
    """Reads the snapshot of one sync. Raises ``StoreUnavailable``."""

    def __init__(self, engine: Engine, sync: str) -> None:
        self._engine = engine
        self._sync = sync

    def index(self) -> list[Block]:
        """All blocks without their rows: ten thousand of them for ten million rows."""
        row = BLOCKS.c
        with reading(self._engine) as connection:
            found = connection.execute(
                select(row.position, row.last, row.size, row.digest)
                .where(row.sync == self._sync)
                .order_by(row.position)
            )
            return [Block(one.position, key_from(one.last), one.size, one.digest) for one in found]

    def rows(self, position: int) -> Rows:
        here = (BLOCKS.c.sync == self._sync) & (BLOCKS.c.position == position)
        with reading(self._engine) as connection:
            return _rows(connection.scalar(select(BLOCKS.c.payload).where(here)) or NONE)


class Writer:
    """Writes what was sent into the blocks. It knows all positions for the whole run.

    ``append`` and ``apply`` only prepare the statements, which takes long; ``write`` executes them in the caller's
    transaction, and is quick: on SQLite nobody else can write meanwhile.
    """

    def __init__(self, store: Engine, sync: str, index: Sequence[Block]) -> None:
        self._store = store
        self._sync = sync
        self._positions = [block.position for block in index]
        self._statements: list[Executable] = []
        self._prepared: dict[int, tuple[bytes, Any]] = {}
        """Payload and last key of the blocks that the statements change: a batch may change one more than once."""

    def write(self, connection: Connection) -> None:
        """Execute what was prepared since the last time."""
        for statement in self._statements:
            connection.execute(statement)
        self._statements.clear()
        self._prepared.clear()

    def append(self, changes: Sequence[Change], digest: bytes | None) -> int:
        """Add a block at the end. Returns how many rows are added."""
        rows = {change.key: change.row for change in changes}
        if not rows:
            return 0
        position = (self._positions[-1] if self._positions else 0) + GAP
        self._positions.append(position)
        self._statements.append(insert(BLOCKS).values(self._values(position, list(rows.items()), None, digest)))
        return len(rows)

    def apply(self, position: int, changes: Sequence[Change], digest: bytes | None) -> int:
        """Change one block. Returns how many rows it has more (negative: less). Raises ``StoreUnavailable``."""
        here = (BLOCKS.c.sync == self._sync) & (BLOCKS.c.position == position)
        if not changes:
            self._statements.append(update(BLOCKS).where(here).values(digest=digest))
            return 0
        payload, last = self._prepared.get(position) or self._stored(position)
        rows = _rows(payload)
        before = len(rows)
        for change in changes:
            if change.kind == "removed":
                rows.pop(change.key, None)
            else:
                rows[change.key] = change.row
        self._statements.append(delete(BLOCKS).where(here))
        if not rows:  # an empty block is deleted: the next one covers its keys
            self._prepared[position] = NONE, None
            return -before
        ordered = sorted(rows.items(), key=lambda item: comparable(item[0]))
        parts = self._parts(ordered, changes) if before < len(ordered) > 2 * BLOCK else []
        places = self._places(position, len(parts))
        if not places:
            parts = []
        made = [self._values(place, part, None, None) for place, part in zip(places, parts, strict=True)]
        rest = ordered[len(parts) * BLOCK :]
        bound = rest[-1][0]
        if last is not None:
            bound = max(key_from(last), bound, key=comparable)
        made.append(self._values(position, rest, bound, None if places else digest))
        self._statements += [insert(BLOCKS).values(one) for one in made]
        self._prepared[position] = made[-1]["payload"], made[-1]["last"]
        return len(rows) - before

    def _stored(self, position: int) -> tuple[bytes, Any]:
        here = (BLOCKS.c.sync == self._sync) & (BLOCKS.c.position == position)
        with reading(self._store) as connection:
            found = connection.execute(select(BLOCKS.c.payload, BLOCKS.c.last).where(here)).one_or_none()
        return (NONE, None) if found is None else (found.payload, found.last)

    def _parts(self, ordered: Sequence[tuple[Key, Fields]], changes: Sequence[Change]) -> list[Any]:
        """The rows of a block that has grown which move to blocks of their own: none that follow the last change.

        A plan has several lines for such a block, in the order of the keys. The lines still to come are for the rows
        that follow, and expect them at the same position.
        """
        last = max(comparable(change.key) for change in changes)
        over = sum(comparable(key) <= last for key, _ in ordered)
        count = min(over, len(ordered) - 1) // BLOCK
        return [ordered[number * BLOCK : (number + 1) * BLOCK] for number in range(count)]

    def _places(self, position: int, count: int) -> list[int]:
        """Positions before this one; none when there is no room."""
        at = self._positions.index(position)
        low = self._positions[at - 1] if at else 0
        places = []
        for _ in range(count):
            low += max(1, (position - low) // 64)
            if low >= position:
                return []
            places.append(low)
        self._positions[at:at] = places
        return places

    def _values(
        self, position: int, rows: Sequence[tuple[Key, Fields]], last: Key, digest: bytes | None
    ) -> dict[str, Any]:
        return {
            "sync": self._sync,
            "position": position,
            "last": key_to(rows[-1][0] if last is None else last),
            "size": len(rows),
            "digest": digest,
            "payload": zlib.compress(exact_json.dumps(rows), 1),
        }


def key_to(key: Key) -> Any:
    """A key as JSON can hold it: a tuple becomes a list."""
    return list(key) if isinstance(key, tuple) else key


def key_from(said: Any) -> Key:
    return tuple(said) if isinstance(said, list) else said


def _rows(payload: bytes) -> Rows:
    text = zlib.decompress(payload)
    said = exact_json.loads_checked(text) if exact_json.may_round(text) else from_json(text)
    return {key_from(key): fields for key, fields in said}
