"""Rows of an Excel workbook (.xlsx, .xlsm): the values of its cells as text, as they would stand in a CSV file."""

from __future__ import annotations

import re
import warnings
import zipfile
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from itertools import repeat
from typing import IO, Any
from xml.etree.ElementTree import ParseError

import openpyxl
from openpyxl.styles.numbers import is_datetime
from openpyxl.worksheet import _reader

from pq.csv.delimited import UNREADABLE
from pq.csv.rows import BadFile, Header, Row, is_blank
from topics.event import exact_json

DAMAGED = (*UNREADABLE, ParseError, KeyError, IndexError, ValueError, TypeError)
"""What openpyxl raises for a workbook that is none, or is not whole."""

_FORMULA = re.compile(rb"<(?:\w+:)?f[\s/>]")
_CHUNK = 1 << 20


class Number(float):
    """The number of a cell, with the text that the file has for it."""

    text: str


def _number(text: str) -> int | Number:
    """What openpyxl makes of a number's text, without forgetting the text: a double has 15 to 17 of its digits."""
    if not {".", "E", "e"} & set(text):
        return int(text)
    number = Number(text)
    number.text = text
    return number


_reader._cast_number = _number  # noqa: SLF001 - the library has no option for it; a test says when it has gone


class WorkbookRows:
    """The first row that is not blank names the columns; a row's line is its number in the sheet.

    A formula counts as the value that was last calculated. Raises ``BadFile`` when it is not clear which sheet is
    meant, or the sheet has no usable header. The sheet is read as it is iterated; the texts of the whole workbook,
    which the format keeps in one place, are in memory.
    """

    delimiter = ","
    rejects_encoding = "utf-8-sig"

    def __init__(self, file: IO[bytes], *, sheet: str | None = None) -> None:
        book = _load(file, values=True)
        chosen = _chosen(book, sheet)
        formulas = _load(file, values=False)[chosen.title] if _has_formulas(file) else None
        self._rows = _rows(chosen, formulas)
        first = next((row for row in self._rows if not is_blank(row.cells)), Row(1, []))
        self._header = Header(first.cells, first.line)
        self.columns = self._header.columns

    def __iter__(self) -> Iterator[Row]:
        """Every row after the header; blank ones are passed over. Raises ``BadFile`` where the sheet is damaged."""
        for row in self._rows:
            if row.reason:
                yield row
            elif not is_blank(row.cells):
                missing = len(self.columns) - len(row.cells)  # a row ends with its last cell that was ever filled
                yield self._header.row(row.line, [*row.cells, *[""] * missing])


def _load(file: IO[bytes], *, values: bool) -> Any:
    """``values``: the formulas' last results in place of the formulas."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of drawings and styles that openpyxl leaves out, which have no cells
            return openpyxl.load_workbook(file, read_only=True, data_only=values, keep_links=False)
    except DAMAGED as error:
        remedy = "open it and save it anew, as xlsx or as CSV (UTF-8)"
        raise BadFile(f"an Excel workbook that cannot be read ({error}): {remedy}") from error


def _chosen(book: Any, name: str | None) -> Any:
    sheets = {sheet.title: sheet for sheet in book.worksheets}
    listed = ", ".join(sheets)
    if name is not None:
        if name not in sheets:
            raise BadFile(f"the workbook has no sheet {name!r}; it has {listed}")
        return sheets[name]
    visible = [sheet for sheet in sheets.values() if sheet.sheet_state == "visible"]
    filled = [sheet for sheet in visible if any(not is_blank(row.cells) for row in _rows(sheet, None))]
    if len(filled) > 1:
        raise BadFile(f"the workbook has {len(filled)} sheets with rows; say which with --sheet: {listed}")
    if not filled:
        raise BadFile("the workbook has no rows")
    return filled[0]


def _has_formulas(file: IO[bytes]) -> bool:
    with zipfile.ZipFile(file) as archive:
        for name in archive.namelist():
            if name.startswith("xl/worksheets/"):
                with archive.open(name) as sheet:
                    overlap = b""
                    while chunk := sheet.read(_CHUNK):
                        if _FORMULA.search(overlap + chunk):
                            return True
                        overlap = chunk[-32:]
    return False


def _rows(sheet: Any, formulas: Any) -> Iterator[Row]:
    """Every row of the sheet, as text. A cell that holds an error, or a formula without a result, is a reason."""
    sheet.reset_dimensions()  # what some programs write of a sheet's size is not so
    beside: Iterator[Any] = repeat(())
    if formulas is not None:
        formulas.reset_dimensions()
        beside = formulas.iter_rows()
    line, pairs = 0, zip(sheet.iter_rows(), beside, strict=False)
    while (pair := _next(pairs, line)) is not None:
        line += 1
        yield Row(line, [_text(cell) for cell in pair[0]], _reason(*pair))


def _next(pairs: Iterator[Any], line: int) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a date that is none: its cell says so, too
            return next(pairs, None)
    except DAMAGED as error:
        raise BadFile(f"the workbook cannot be read on after line {line}: {error}") from error


def _reason(cells: Any, written: Any) -> str:
    for cell in cells:
        if cell.data_type == "e":
            return f"cell {cell.coordinate} holds the error {cell.value}"
    for cell, formula in zip(cells, written, strict=False):
        if formula.data_type == "f" and cell.value is None and cell.data_type == "n":
            return (
                f"cell {cell.coordinate} is a formula that was never calculated; "
                "open the workbook in Excel or LibreOffice and save it"
            )
    return ""


def _digits(number: float) -> str:
    """In plain digits, as people have typed it.

    Excel computes with doubles and writes 17 digits of them, 1.1000000000000001 for 1.1: then it is the shortest text
    of that double. What others write may say more than a double does; all of that stays.
    """
    shortest, written = Decimal(repr(float(number))), getattr(number, "text", None)
    exact = shortest if written is None else Decimal(written)
    if exact in {shortest, Decimal(f"{number:.17g}")}:
        exact = shortest
    return exact_json.plain(exact if exact != exact.to_integral_value() else exact.to_integral_value())


def _text(cell: Any) -> str:
    match cell.value:
        case None:
            text = ""
        case bool(value):
            text = "true" if value else "false"
        case float(value):
            text = _digits(value)
        case datetime() as value:
            text = value.date().isoformat() if is_datetime(cell.number_format) == "date" else value.isoformat()
        case (date() | time()) as value:
            text = value.isoformat()
        case timedelta() as value:
            minutes, seconds = divmod(round(value.total_seconds()), 60)
            text = f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
        case value:
            text = str(value)
    return text
