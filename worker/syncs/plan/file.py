"""A plan as a file: what a run will send, one line for each block of rows, so that a plan need not fit into memory."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

from topics.event import exact_json
from worker.syncs.errors import PlanOutdated
from worker.syncs.snapshot.blocks import key_from, key_to
from worker.syncs.snapshot.compare import Change

VERSION = 1


class Line(NamedTuple):
    """The changes of one block of the snapshot.

    ``position``: of that block; None for a new block at the end, and for changes that the snapshot does not keep.
    ``digest``: of the block's rows as the warehouse returned them; None when the block will not hold exactly these.
    """

    position: int | None
    digest: bytes | None
    changes: list[Change]


class PlanFile:
    """Written once, from beginning to end; read any number of times."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, head: dict[str, Any], lines: Iterable[Line], foot: Callable[[], dict[str, Any]]) -> None:
        """``foot`` gives the totals; it is called when all lines are written."""
        with self.path.open("wb") as file:
            _put(file, {"writeback_plan": VERSION, **head})
            for line in lines:
                digest = line.digest.hex() if line.digest else None
                _put(file, [line.position, digest, [_told(change) for change in line.changes]])
            _put(file, foot())

    def head(self) -> dict[str, Any]:
        """Raises ``PlanOutdated`` for a file that is not a plan, or not a complete one."""
        try:
            with self.path.open("rb") as file:
                said = exact_json.loads_checked(file.readline())
        except (OSError, ValueError) as error:
            raise PlanOutdated(f"{self.path} is no plan of `writeback syncs plan --out`: {error}") from error
        if not isinstance(said, dict) or said.get("writeback_plan") != VERSION:
            raise PlanOutdated(f"{self.path} is no plan of this version of writeback: make it again")
        return said

    def foot(self) -> dict[str, Any]:
        with self.path.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - 65_536))
            last = file.read().splitlines()[-1]
        try:
            said = exact_json.loads_checked(last)
        except ValueError:
            said = None
        if not isinstance(said, dict):
            raise PlanOutdated(f"{self.path} is cut off: make the plan again")
        return said

    def lines(self) -> Iterator[Line]:
        with self.path.open("rb") as file:
            next(file)
            for text in file:
                said = exact_json.loads_checked(text)
                if isinstance(said, dict):
                    return
                yield _line(said)


def packed(lines: Iterable[Line]) -> bytes:
    """Lines as the value of one column of the store."""
    told = [
        [line.position, line.digest.hex() if line.digest else None, list(map(_told, line.changes))] for line in lines
    ]
    return zlib.compress(exact_json.dumps(told), 1)


def unpacked(value: bytes) -> list[Line]:
    return [_line(said) for said in exact_json.loads_checked(zlib.decompress(value))]


def _line(said: list[Any]) -> Line:
    position, digest, changes = said
    return Line(position, bytes.fromhex(digest) if digest else None, [_change(one) for one in changes])


def _put(file: IO[bytes], value: Any) -> None:
    file.write(exact_json.dumps(value) + b"\n")


def _told(change: Change) -> list[Any]:
    return [change.kind, key_to(change.key), change.row, change.names, change.old]


def _change(said: list[Any]) -> Change:
    kind, key, row, names, old = said
    return Change(kind, key_from(key), row, None if names is None else tuple(names), old)
