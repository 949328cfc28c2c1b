"""One sheet: a grid of cells with a size, which is not larger than it is."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final

Cell = dict[str, Any] | None
"""A ``userEnteredValue`` of Google's: {"stringValue": ...}, numberValue, boolValue or formulaValue; None: empty."""

LONGEST: Final = 50_000
_RANGE: Final = re.compile(r"\$?([A-Z]*)\$?(\d*)(?::\$?([A-Z]*)\$?(\d*))?", re.IGNORECASE)


class SheetsError(Exception):
    def __init__(self, code: int, status: str, message: str) -> None:
        super().__init__(message)
        self.code, self.status, self.message = code, status, message


def invalid(message: str) -> SheetsError:
    return SheetsError(400, "INVALID_ARGUMENT", message)


@dataclass(frozen=True, slots=True)
class Area:
    """From 0, the ends left out; an end that is None is that of the grid."""

    top: int
    left: int
    bottom: int | None
    right: int | None


@dataclass(slots=True)
class Grid:
    title: str
    number: int
    rows: int = 1_000
    columns: int = 26
    cells: dict[tuple[int, int], dict[str, Any]] = field(default_factory=dict)

    def shown(self) -> dict[str, Any]:
        size = {"rowCount": self.rows, "columnCount": self.columns}
        return {
            "properties": {
                "sheetId": self.number,
                "title": self.title,
                "index": 0,
                "sheetType": "GRID",
                "gridProperties": size,
            }
        }

    def put(self, row: int, column: int, cell: Cell) -> None:
        """Raises ``SheetsError`` outside of the grid."""
        if not (0 <= row < self.rows and 0 <= column < self.columns):
            raise invalid(
                f"Range ({self.title}!{name(column)}{row + 1}) exceeds grid limits. "
                f"Max rows: {self.rows}, max columns: {self.columns}"
            )
        if cell is None:
            self.cells.pop((row, column), None)
            return
        if len(str(next(iter(cell.values())))) > LONGEST:
            raise invalid("Your input contains more than the maximum of 50000 characters in a single cell.")
        self.cells[row, column] = cell

    def append(self, rows: list[list[Cell]]) -> int:
        """Behind the last row with data; the grid gets the rows that it lacks. The first of the new rows."""
        start = self.filled()
        self.rows = max(self.rows, start + len(rows))
        for offset, cells in enumerate(rows):
            for column, cell in enumerate(cells):
                self.put(start + offset, column, cell)
        return start

    def filled(self) -> int:
        return max((row for row, _ in self.cells), default=-1) + 1

    def remove(self, *, rows: bool, start: int, end: int) -> None:
        """Take rows or columns out; what is behind them moves up."""
        most = self.rows if rows else self.columns
        if not 0 <= start < end <= most:
            raise invalid("Invalid requests[0].deleteDimension: range is outside of the grid")
        place, count = (0 if rows else 1), end - start
        moved: dict[tuple[int, int], dict[str, Any]] = {}
        for where, cell in self.cells.items():
            if start <= where[place] < end:
                continue
            back = count if where[place] >= end else 0
            moved[(where[0] - back, where[1]) if rows else (where[0], where[1] - back)] = cell
        self.cells = moved
        if rows:
            self.rows -= count
        else:
            self.columns -= count

    def area(self, text: str) -> Area:
        """``A1:B2``, ``A:A``, ``1:1``, ``A2``; nothing: all. Raises ``SheetsError``."""
        if not text:
            return Area(0, 0, None, None)
        match = _RANGE.fullmatch(text)
        if match is None:
            raise invalid(f"Unable to parse range: {self.title}!{text}")
        left, top, right, bottom = match.groups()
        single = right is None and bottom is None
        area = Area(
            int(top) - 1 if top else 0,
            column_of(left) if left else 0,
            (int(top) if top else None) if single else (int(bottom) if bottom else None),
            (column_of(left) + 1 if left else None) if single else (column_of(right) + 1 if right else None),
        )
        if area.top >= self.rows or area.left >= self.columns:
            raise invalid(
                f"Range ({self.title}!{text}) exceeds grid limits. Max rows: {self.rows}, max columns: {self.columns}"
            )
        return area

    def values(self, area: Area, *, formatted: bool) -> list[list[Any]]:
        """Without what is empty at the ends."""
        bottom = self.rows if area.bottom is None else min(area.bottom, self.rows)
        right = self.columns if area.right is None else min(area.right, self.columns)
        rows: list[list[Any]] = [[] for _ in range(area.top, min(bottom, self.filled()))]
        inside = sorted(where for where in self.cells if where[0] < bottom and area.left <= where[1] < right)
        for row, column in inside:
            if row >= area.top:
                line = rows[row - area.top]
                line += [""] * (column - area.left - len(line))
                line.append(said(self.cells[row, column], formatted=formatted))
        while rows and not rows[-1]:
            rows.pop()
        return rows

    def clear(self, area: Area) -> None:
        for row, column in list(self.cells):
            below = row >= area.top and (area.bottom is None or row < area.bottom)
            if below and column >= area.left and (area.right is None or column < area.right):
                del self.cells[row, column]


def said(cell: dict[str, Any], *, formatted: bool) -> Any:
    kind, value = next(iter(cell.items()))
    if not formatted:
        return value
    if kind == "boolValue":
        return "TRUE" if value else "FALSE"
    return str(int(value)) if kind == "numberValue" and value == int(value) else str(value)


def typed(value: Any, *, entered: bool) -> Cell:
    """A value as the values API takes it: as it is, or as if a person had typed it."""
    if value is None or value == "":
        return None
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int | float):
        return {"numberValue": value}
    return _entered(str(value)) if entered else {"stringValue": str(value)}


def _entered(text: str) -> dict[str, Any]:
    if text.startswith("="):
        return {"formulaValue": text}
    if text.upper() in {"TRUE", "FALSE"}:
        return {"boolValue": text.upper() == "TRUE"}
    try:
        return {"numberValue": float(text)}
    except ValueError:
        return {"stringValue": text}


def column_of(letters: str) -> int:
    number = 0
    for letter in letters.upper():
        number = number * 26 + ord(letter) - ord("A") + 1
    return number - 1


def name(column: int) -> str:
    text = ""
    column += 1
    while column:
        column, rest = divmod(column - 1, 26)
        text = chr(ord("A") + rest) + text
    return text
