"""One spreadsheet: its sheets, ranges by their names, and the requests of a batchUpdate, all of them or none."""

from __future__ import annotations

import re
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Final

from connectors.sandbox.sheets.grid import Area, Cell, Grid, invalid, name, typed

_PLACE: Final = re.compile(r"(?:'((?:[^']|'')+)'|([^'!]+))(?:!(.*))?", re.DOTALL)
_KINDS: Final = frozenset({"stringValue", "numberValue", "boolValue", "formulaValue"})


@dataclass(slots=True)
class Book:
    id: str
    grids: list[Grid] = field(default_factory=list)

    def place(self, text: str) -> tuple[Grid, Area]:
        """``'Leads'!A1:B2``, ``Leads``, or a range of the first sheet. Raises ``SheetsError``."""
        match = _PLACE.fullmatch(text)
        if match is None:
            raise invalid(f"Unable to parse range: {text}")
        title = match[1].replace("''", "'") if match[1] else match[2]
        grid = next((one for one in self.grids if one.title == title), None)
        if grid is not None:
            return grid, grid.area(match[3] or "")
        if match[3] is not None or match[1]:
            raise invalid(f"Unable to parse range: {text}")
        return self.grids[0], self.grids[0].area(text)

    def by_number(self, number: int) -> Grid:
        grid = next((one for one in self.grids if one.number == number), None)
        if grid is None:
            raise invalid(f"No grid with id: {number}")
        return grid

    def write(self, where: str, values: list[list[Any]], *, entered: bool) -> dict[str, Any]:
        grid, area = self.place(where)
        count = 0
        for down, line in enumerate(values):
            for right, value in enumerate(line):
                if value is not None:  # null leaves a cell alone
                    grid.put(area.top + down, area.left + right, typed(value, entered=entered))
                    count += 1
        width = max((len(line) for line in values), default=1)
        end = f"{name(area.left + width - 1)}{area.top + len(values)}"
        return {
            "spreadsheetId": self.id,
            "updatedRange": f"'{grid.title}'!{name(area.left)}{area.top + 1}:{end}",
            "updatedRows": len(values),
            "updatedColumns": width,
            "updatedCells": count,
        }

    def append(self, where: str, values: list[list[Any]], *, entered: bool) -> dict[str, Any]:
        """Behind the table that the range is in, which in the sandbox is all of the sheet."""
        grid, _ = self.place(where)
        start = grid.append([[typed(value, entered=entered) for value in line] for line in values])
        return {
            "spreadsheetId": self.id,
            "updates": {
                "spreadsheetId": self.id,
                "updatedRange": f"'{grid.title}'!A{start + 1}",
                "updatedRows": len(values),
            },
        }

    def update(self, requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """All of them, or none. Raises ``SheetsError``."""
        before = deepcopy(self.grids)
        try:
            return [self._one(place, request) for place, request in enumerate(requests)]
        except Exception:
            self.grids = before
            raise

    def _one(self, place: int, request: dict[str, Any]) -> dict[str, Any]:
        if len(request) != 1:
            raise invalid(f"Invalid requests[{place}]: a request has one kind")
        kind, given = next(iter(request.items()))
        do = getattr(self, f"_{kind}", None)
        if do is None:
            raise invalid(
                f"Invalid JSON payload received. Unknown name \"{kind}\" at 'requests[{place}]': Cannot find field."
            )
        return do(given) or {}

    def _updateCells(self, given: dict[str, Any]) -> None:  # noqa: N802 - Google's name
        start, where = given.get("start") or {}, given.get("range") or {}
        grid = self.by_number(start.get("sheetId", where.get("sheetId", 0)))
        if where and not given.get("rows"):
            grid.clear(
                Area(
                    where.get("startRowIndex", 0), where.get("startColumnIndex", 0), where.get("endRowIndex"),
                    where.get("endColumnIndex"),
                )
            )  # fmt: skip
            return
        top, left = start.get("rowIndex", 0), start.get("columnIndex", 0)
        for down, line in enumerate(_rows(given)):
            for right, cell in enumerate(line):
                grid.put(top + down, left + right, cell)

    def _appendCells(self, given: dict[str, Any]) -> None:  # noqa: N802
        self.by_number(given.get("sheetId", 0)).append(_rows(given))

    def _appendDimension(self, given: dict[str, Any]) -> None:  # noqa: N802
        grid = self.by_number(given.get("sheetId", 0))
        if given["dimension"] == "ROWS":
            grid.rows += given["length"]
        else:
            grid.columns += given["length"]

    def _deleteDimension(self, given: dict[str, Any]) -> None:  # noqa: N802
        where = given["range"]
        grid = self.by_number(where.get("sheetId", 0))
        grid.remove(rows=where["dimension"] == "ROWS", start=where["startIndex"], end=where["endIndex"])

    def _addSheet(self, given: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        properties = given.get("properties") or {}
        title = str(properties.get("title") or f"Sheet{len(self.grids) + 1}")
        if any(one.title == title for one in self.grids):
            raise invalid(f'A sheet with the name "{title}" already exists. Please enter another name.')
        size = properties.get("gridProperties") or {}
        number = max((one.number for one in self.grids), default=-1) + 1
        grid = Grid(title, number, size.get("rowCount", 1_000), size.get("columnCount", 26))
        self.grids.append(grid)
        return {"addSheet": grid.shown()}


def _rows(given: dict[str, Any]) -> list[list[Cell]]:
    return [[_cell(one) for one in row.get("values") or []] for row in given.get("rows") or []]


def _cell(data: dict[str, Any]) -> Cell:
    value = data.get("userEnteredValue")
    if value is None:
        return None
    if len(value) != 1 or not _KINDS.issuperset(value):
        raise invalid(f"Invalid value at 'userEnteredValue': {value}")
    return dict(value)
