"""Where things are in a sheet: its name in addresses, its columns by their names, its rows by their keys. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final

from connectors.engine.template.text import as_text

Area = dict[str, int]
"""Some cells of a sheet, counted from 0, the end left out: the members of Google's GridRange but for the sheet."""

HEADER: Final = "1:1"
HEADER_ROW: Final[Area] = {"startRowIndex": 0, "endRowIndex": 1}
FIRST_ROW: Final = 2
"""Of the records: the row before it has the names."""
_ADDRESS: Final = re.compile(r"https://docs\.google\.com/spreadsheets/d/([A-Za-z0-9_-]+)")
_ID: Final = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Sheet:
    """One tab. ``rows``, ``columns``: the size of its grid, the empty cells included."""

    title: str
    number: int
    rows: int
    columns: int

    def at(self, cells: str) -> str:
        """A range of this sheet, ``A:A`` say, as Google names it."""
        title = self.title.replace("'", "''")
        return f"'{title}'!{cells}"


@dataclass(frozen=True, slots=True)
class Layout:
    """``header``: the names in the first row; ``values``: of some columns, what is in each row, the first included."""

    sheet: Sheet
    header: tuple[str, ...]
    values: Mapping[str, Sequence[Any]]

    def column(self, name: str) -> int:
        """Where the column of that name is, counted from 0. Raises ``ValueError``, which says what there is."""
        found = _places(self.header, name)
        if len(found) > 1:
            raise ValueError(f"the sheet {self.sheet.title!r} has {len(found)} columns named {name!r}")
        if not found or not name:
            near = get_close_matches(name, self.header, 1)
            there = ", ".join(filter(None, self.header)) or "none"
            raise ValueError(
                f"the sheet {self.sheet.title!r} has no column {name!r}: "
                + (f"did you mean {near[0]!r}?" if near else f"its first row names {there}")
            )
        return found[0]

    def rows_of(self, name: str, key: str) -> list[int]:
        """The rows that have this key, counted from 1 as in the sheet."""
        values = enumerate(self.values.get(name, ()), start=1)
        return [row for row, value in values if row >= FIRST_ROW and key_text(value) == key]

    def row_of(self, name: str, key: str) -> int | None:
        """The row of a key, None where there is none. Raises ``ValueError`` where there are several."""
        rows = self.rows_of(name, key)
        if len(rows) > 1:
            where = ", ".join(map(str, rows[:5]))
            raise ValueError(f"{len(rows)} rows of {self.sheet.title!r} have {name} {key!r} (rows {where})")
        return rows[0] if rows else None


def columns_of(header: Sequence[str], names: Iterable[str]) -> dict[str, int]:
    """Where the columns of these names are, of those that are there once."""
    places = {name: _places(header, name) for name in sorted(names)}
    return {name: found[0] for name, found in places.items() if len(found) == 1}


def _places(header: Sequence[str], name: str) -> list[int]:
    """By the name as it is written, else whatever its case."""
    exact = [place for place, one in enumerate(header) if one == name]
    return exact or [place for place, one in enumerate(header) if one.casefold() == name.casefold()]


def key_text(value: Any) -> str:
    """A key as it is compared: 7, 7.0 and "7" are the same."""
    return "" if value is None else str(as_text(value)).strip()


def whole_column(column: int) -> Area:
    return {"startColumnIndex": column, "endColumnIndex": column + 1}


def rows_between(first: int, last: int) -> Area:
    """Whole rows, counted from 1 as in the sheet, the last one included."""
    return {"startRowIndex": first - 1, "endRowIndex": last}


def title_in(address: str) -> str:
    """The sheet of an address of Google's: ``'It''s'!B1:B9`` is one of It's."""
    title = address.rpartition("!")[0]
    return title[1:-1].replace("''", "'") if title.startswith("'") else title


def header_of(values: Sequence[Any]) -> tuple[str, ...]:
    return tuple(key_text(value) for value in values)


def record_of(header: Sequence[str], values: Sequence[Any]) -> dict[str, Any]:
    """A row by the names of its columns; what is empty is None, a second column of a name has its number behind it."""
    record: dict[str, Any] = {}
    for place, name in enumerate(header):
        if not name:
            continue
        value = values[place] if place < len(values) else None
        record[name if name not in record else f"{name} {place + 1}"] = None if value == "" else value
    return record


def spreadsheet_id(given: str) -> str:
    """The id, from itself or from the address in the browser. Raises ``ValueError``."""
    match = _ADDRESS.match(given.strip())
    found = match[1] if match else given.strip()
    if _ID.fullmatch(found) is None:
        raise ValueError(f"spreadsheet_id is {given!r}; it is what stands behind /d/ in the spreadsheet's address")
    return found
