"""A turn: the events of one operation as the requests of one batchUpdate. Pure.

Who cannot be carried out is refused here, by name; what remains is carried out together or not at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from connectors.contract import Delivered, Rejected, Verdict
from connectors.saas.google_sheets.cells import FIELDS, Cell, cell, row
from connectors.saas.google_sheets.layout import FIRST_ROW, Layout, key_text
from topics.event.event import Event, Operation

SEARCH: Final = frozenset({"searchfield", "searchterm"})
EMPTY: Final = {"rows": "all"}
"""The fields of a deletion that empties the sheet below its first row."""

Request = dict[str, Any]


@dataclass(slots=True)
class Turn:
    """``settled``: verdicts that need no request; ``done``: those that are due when the requests were carried out."""

    requests: list[Request] = field(default_factory=list)
    settled: dict[int, Verdict] = field(default_factory=dict)
    done: dict[int, Verdict] = field(default_factory=dict)


def key_of(event: Event, configured: str | None) -> tuple[str, str] | None:
    """The column by which the event's row is found, and its value there. Raises ``ValueError``.

    None: a new row of a sheet without a key column.
    """
    name = event.fields.get("searchfield") or configured
    if not name and event.operation in {Operation.ADD, Operation.MESSAGE}:
        return None
    if not isinstance(name, str) or not name:
        raise ValueError(
            f"{event.operation} needs a key column: name it in the connection's setting unique, as in "
            f'{{"{event.object}": "email"}}, or with the event as searchfield and searchterm'
        )
    value = event.fields.get("searchterm")
    if value is None:
        value = next((one for given, one in event.fields.items() if given.casefold() == name.casefold()), None)
    if isinstance(value, dict | list) or not key_text(value):
        raise ValueError(f"{event.operation} needs {name}, the key by which its row is found, and the event has none")
    return name, key_text(value)


def turn(events: Mapping[int, Event], layout: Layout, configured: str | None, *, formulas: bool) -> Turn:
    """``events``: of one operation, by their places in the batch."""
    made = Turn()
    operation = next(iter(events.values())).operation
    if operation is Operation.DELETE:
        _delete(made, events, layout, configured)
    else:
        _write(made, events, layout, configured, formulas=formulas)
    return made


def _write(made: Turn, events: Mapping[int, Event], layout: Layout, configured: str | None, *, formulas: bool) -> None:
    named = _named(layout, events) if not any(layout.header) else layout
    new: dict[str | int, dict[int, Cell]] = {}
    changed: list[Request] = []
    for place, event in events.items():
        try:
            key = key_of(event, configured)
            found = None if key is None or named is not layout else layout.row_of(*key)
            cells = _cells_of(event, named, key, new=found is None, formulas=formulas)
            made.done[place] = _due(event, found, key)
        except ValueError as error:
            made.settled[place] = Rejected(str(error))
            continue
        except Taken as taken:
            made.settled[place] = Rejected(str(taken), conflict=True)
            continue
        if found is None:
            new.setdefault(place if key is None else "\0".join(key), {}).update(cells)
        else:
            changed += _changes(layout.sheet.number, found, cells)
    if named is not layout and made.done:
        made.requests += _header(named)
    made.requests += changed
    if new:
        rows = [row([cells.get(column, {}) for column in range(max(cells) + 1)]) for cells in new.values()]
        # it takes the first row behind the last one with data, and makes the grid larger where that is full
        made.requests.append({"appendCells": {"sheetId": layout.sheet.number, "rows": rows, "fields": FIELDS}})


def _cells_of(
    event: Event, named: Layout, key: tuple[str, str] | None, *, new: bool, formulas: bool
) -> dict[int, Cell]:
    """What is written, by column: a new row gets its key, that of an old one stays. Raises ``ValueError``."""
    fields = {name: value for name, value in event.fields.items() if name not in SEARCH}
    cells = {named.column(name): cell(name, value, formulas=formulas) for name, value in fields.items()}
    if key is not None:
        column = named.column(key[0])
        if not new:
            cells.pop(column, None)
        elif column not in cells:
            cells[column] = cell(key[0], event.fields.get("searchterm"), formulas=formulas)
    if new and not any(cells.values()):
        raise ValueError("there is nothing to write: every field is empty")
    return cells


class Taken(Exception):
    """A new row's key is there already."""


def _due(event: Event, found: int | None, key: tuple[str, str] | None) -> Delivered:
    """What is due when it is done. Raises ``ValueError``, ``Taken``."""
    if event.operation in {Operation.ADD, Operation.MESSAGE}:
        if found is not None and key is not None:
            raise Taken(f"row {found} has {key[0]} {key[1]!r} already; upsert changes it")
        return Delivered({"added": 1}, None if key is None else key[1])
    assert key is not None
    if found is None and event.operation is Operation.UPDATE:
        raise ValueError(f"no row has {key[0]} {key[1]!r}; upsert adds it")
    return Delivered({"added": 1} if found is None else {"row": found}, key[1])


def _changes(sheet: int, found: int, cells: Mapping[int, Cell]) -> list[Request]:
    """One request for each run of columns side by side; the others are not touched."""
    runs: list[list[int]] = []
    for column in sorted(cells):
        if runs and runs[-1][-1] == column - 1:
            runs[-1].append(column)
        else:
            runs.append([column])
    return [_cells(sheet, found - 1, run[0], [cells[column] for column in run]) for run in runs]


def _cells(sheet: int, row_index: int, column_index: int, cells: Sequence[Cell]) -> Request:
    start = {"sheetId": sheet, "rowIndex": row_index, "columnIndex": column_index}
    return {"updateCells": {"start": start, "rows": [row(cells)], "fields": FIELDS}}


def _named(layout: Layout, events: Mapping[int, Event]) -> Layout:
    """An empty sheet gets its first row from the fields of the first event."""
    first = next(iter(events.values()))
    names = [name for name in first.fields if name not in SEARCH]
    key = first.fields.get("searchfield")
    if isinstance(key, str) and key not in names:
        names.insert(0, key)
    return Layout(layout.sheet, tuple(names), {})


def _header(named: Layout) -> list[Request]:
    sheet = named.sheet
    lacking = len(named.header) - sheet.columns
    grown = {"sheetId": sheet.number, "dimension": "COLUMNS", "length": lacking}
    more = [{"appendDimension": grown}] if lacking > 0 else []
    return [*more, _cells(sheet.number, 0, 0, [cell(name, name, formulas=False) for name in named.header])]


def _delete(made: Turn, events: Mapping[int, Event], layout: Layout, configured: str | None) -> None:
    rows: set[int] = set()
    emptied = False
    for place, event in events.items():
        if dict(event.fields) == EMPTY:
            emptied = True
            made.done[place] = Delivered({"rows": "all"})
            continue
        try:
            key = key_of(event, configured)
            assert key is not None
            layout.column(key[0])
            found = layout.row_of(*key)
        except ValueError as error:
            made.settled[place] = Rejected(str(error))
            continue
        if found is None:
            made.settled[place] = Delivered({"note": f"no row has {key[0]} {key[1]!r}"}, key[1])
        else:
            rows.add(found)
            made.done[place] = Delivered({"row": found}, key[1])
    # from below, so that no row moves before its turn
    made.requests += [_without(layout.sheet.number, one) for one in sorted(rows, reverse=True)]
    if emptied:
        below = {"sheetId": layout.sheet.number, "startRowIndex": FIRST_ROW - 1}
        made.requests.append({"updateCells": {"range": below, "fields": FIELDS}})


def _without(sheet: int, found: int) -> Request:
    where = {"sheetId": sheet, "dimension": "ROWS", "startIndex": found - 1, "endIndex": found}
    return {"deleteDimension": {"range": where}}
