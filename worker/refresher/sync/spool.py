"""Keeps what a run reads on disk until it has read everything: a run that breaks off loads nothing.

There is a folder for each connection and object, with lines: a record's key, a tab, the record, both in JSON. The next
run goes on where this one broke off, if it reads the same of the same connection, and not much later; else it begins
anew.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from pydantic_core import from_json, to_json

from topics.errors import SettingsError

ROWS: Final = "rows"
DELETED: Final = "deleted"
RELATED: Final = "related-"

STALE_S: Final = 3_600.0
"""For an hour, an interrupted read is continued; after that, what it has read is too old to be loaded."""


@dataclass(frozen=True, slots=True)
class Place:
    """How far the reading of one object is. ``asked`` names what is read; a run that reads something else begins anew.

    ``since``, ``bookmark``: where the next page begins. ``started``: the vendor's time at the first page. ``latest``:
    the latest change seen. Times are ISO 8601. ``saved``: our time, in seconds.
    """

    asked: str
    saved: float = 0.0
    rows: int = 0
    since: str | None = None
    bookmark: str | None = None
    started: str | None = None
    latest: str | None = None
    done: tuple[str, ...] = ()


class Spool:
    """The pages of one object. One process at a time: the refresher holds a lease on the connection."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._place = folder / "place-2.json"  # of the second form of the lines; what is of the first is read anew

    def resume(self, asked: str, now: float) -> Place:
        """Where an interrupted read of the same stopped, or the beginning of a new one."""
        try:
            place = Place(**json.loads(self._place.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            place = Place("")
        if place.asked == asked and 0 <= now - place.saved <= STALE_S:
            return replace(place, done=tuple(place.done))
        self.clear()
        make_folder(self._folder)
        return Place(asked)

    def add(self, part: str, rows: Sequence[Mapping[str, Any]], key: Sequence[str] = ()) -> None:
        lines = [b"%b\t%b\n" % (to_json([row.get(column) for column in key]), to_json(row)) for row in rows]
        with (self._folder / f"{part}.jsonl").open("ab") as file:
            file.writelines(lines)

    def begin(self, part: str) -> None:
        """Drop what an interrupted run has read of this part."""
        (self._folder / f"{part}.jsonl").unlink(missing_ok=True)

    def keep(self, place: Place, now: float) -> Place:
        """Save the place; called after the rows are written, so that a crash repeats a page and loses none."""
        saved = replace(place, saved=now)
        fresh = self._place.with_suffix(".new")
        fresh.write_text(json.dumps(asdict(saved)), encoding="utf-8")
        fresh.replace(self._place)
        return saved

    def rows(self, part: str) -> Iterator[dict[str, Any]]:
        for _, row in self.lines(part):
            yield from_json(row)

    def lines(self, part: str) -> Iterator[tuple[bytes, bytes]]:
        """Each record's key and the record, in JSON: the same key is the same bytes, and need not be parsed."""
        path = self._folder / f"{part}.jsonl"
        if path.exists():
            with path.open("rb") as file:
                for line in file:
                    key, _, row = line.partition(b"\t")
                    yield key, row

    def clear(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)


def make_folder(folder: Path) -> None:
    """Make the folder, readable by its owner alone. Raises ``SettingsError``."""
    try:
        folder.mkdir(parents=True, mode=0o700)
    except OSError as error:
        raise SettingsError(f"WRITEBACK_SYNC_FOLDER, where a refresh keeps what it reads: {error}") from error
