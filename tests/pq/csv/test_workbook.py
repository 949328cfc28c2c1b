"""Excel workbooks: values as text, as a CSV file would have them; what has no value is told by its cell."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from typing import Any

import openpyxl
import pytest

from pq.csv.rows import BadFile, Row
from pq.csv.workbook import WorkbookRows


def saved(book: Any) -> io.BytesIO:
    file = io.BytesIO()
    book.save(file)
    return file


def book_of(*rows: Sequence[Any], **sheets: Sequence[Sequence[Any]]) -> io.BytesIO:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    for name, more in sheets.items():
        sheet = book.create_sheet(name)
        for row in more:
            sheet.append(row)
    return saved(book)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("007", "007"),
        (7, "7"),
        (7.0, "7"),
        (1.1, "1.1"),
        (0.00001, "0.00001"),
        (1e20, "100000000000000000000"),
        (True, "true"),
        (False, "false"),
        (date(2026, 1, 31), "2026-01-31"),
        (datetime(2026, 1, 31), "2026-01-31T00:00:00"),  # noqa: DTZ001 - Excel has no time zones
        (datetime(2026, 1, 31, 8, 30), "2026-01-31T08:30:00"),  # noqa: DTZ001
        (time(8, 30), "08:30:00"),
        (timedelta(hours=26, minutes=5), "26:05:00"),
        ("two\nlines", "two\nlines"),
    ],
)
def test_values(value: Any, text: str) -> None:
    """Numbers in plain digits, dates as ISO 8601."""
    rows = WorkbookRows(book_of(["v", "w"], [value, "x"]))

    assert list(rows) == [Row(2, [text, "x"])]


def test_blank_rows_and_rows_that_end_early() -> None:
    """Lines are the sheet's own numbers; what stands right of the table is told."""
    file = book_of([], ["a", "b", None], [1], [None, None], [None, 2], [3, 4, 5])

    assert list(WorkbookRows(file)) == [
        Row(3, ["1", ""]),
        Row(5, ["", "2"]),
        Row(6, ["3", "4", "5"], "3 cells under 2 columns"),
    ]


def test_the_size_that_a_sheet_claims_is_not_believed() -> None:
    """Some programs write that every sheet is one cell large."""
    file, mended = book_of(["a", "b"], [1, 2]), io.BytesIO()
    with zipfile.ZipFile(file) as source, zipfile.ZipFile(mended, "w") as target:
        for name in source.namelist():
            target.writestr(name, re.sub(rb'<dimension ref="[^"]*"', b'<dimension ref="A1"', source.read(name)))

    assert list(WorkbookRows(mended)) == [Row(2, ["1", "2"])]


def test_errors_and_formulas_without_a_value() -> None:
    """Neither is an empty cell: the row is rejected, and the others are read."""
    rows = list(WorkbookRows(book_of(["a", "b"], [1, "#N/A"], [2, "=1+1"], ["=A1", None], [3, "x"])))

    assert [(row.line, row.reason.partition(";")[0]) for row in rows] == [
        (2, "cell B2 holds the error #N/A"),
        (3, "cell B3 is a formula that was never calculated"),
        (4, "cell A4 is a formula that was never calculated"),
        (5, ""),
    ]


def test_a_formula_counts_as_what_was_calculated() -> None:
    """As Excel saves it: the formula, and its last value; an empty text is a value."""
    file, calculated = book_of(["a", "b"], ["=1+1", '=""']), io.BytesIO()
    with zipfile.ZipFile(file) as source, zipfile.ZipFile(calculated, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            content = content.replace(b"<f>1+1</f><v />", b"<f>1+1</f><v>2</v>").replace(
                b"<f>1+1</f><v></v>", b"<f>1+1</f><v>2</v>"
            )
            content = re.sub(rb'<c r="B2"><f>""</f><v ?/?>(</v>)?', b'<c r="B2" t="str"><f>""</f><v></v>', content)
            target.writestr(name, content)

    assert list(WorkbookRows(calculated)) == [Row(2, ["2", ""])]


def test_the_sheet_that_is_meant() -> None:
    """The only one with rows, or the one that is named; never a guess."""
    one = book_of(Empty=[], Data=[["a"], [1]])
    two = book_of(["a"], [1], Other=[["b"], [2]])

    assert list(WorkbookRows(one)) == [Row(2, ["1"])]
    assert WorkbookRows(two, sheet="Other").columns == ["b"]
    with pytest.raises(BadFile, match="has 2 sheets with rows; say which with --sheet: Sheet, Other"):
        WorkbookRows(two)
    with pytest.raises(BadFile, match="no sheet 'x'; it has Sheet, Other"):
        WorkbookRows(two, sheet="x")
    with pytest.raises(BadFile, match="has no rows"):
        WorkbookRows(book_of())


def test_a_hidden_sheet_is_not_in_the_way() -> None:
    """People do not know of it; by its name it can be read."""
    book = openpyxl.Workbook()
    book.active.append(["a"])
    hidden = book.create_sheet("lists")
    hidden.append(["b"])
    hidden.sheet_state = "hidden"

    assert WorkbookRows(saved(book)).columns == ["a"]
    assert WorkbookRows(saved(book), sheet="lists").columns == ["b"]


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("1.1000000000000001", "1.1"),
        ("0.30000000000000004", "0.30000000000000004"),
        ("12345678901234567.89", "12345678901234567.89"),
        ("0.12345678901234567890", "0.12345678901234567890"),
        ("1234567890123456.7", "1234567890123456.7"),
        ("12345678901234567890", "12345678901234567890"),
        ("1.0000000000000001E-5", "0.00001"),
        ("1E+20", "100000000000000000000"),
        ("-0.5", "-0.5"),
        ("100.00", "100"),
    ],
)
def test_the_digits_of_a_number_stay(written: str, text: str) -> None:
    """As a double's where Excel has written one, and all of them where the file says more than a double does."""
    book, rewritten = book_of(["v", "w"], [777, "x"]), io.BytesIO()
    with zipfile.ZipFile(book) as old, zipfile.ZipFile(rewritten, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name).replace(b"<v>777</v>", f"<v>{written}</v>".encode()))

    assert list(WorkbookRows(rewritten)) == [Row(2, [text, "x"])]


def test_a_cell_that_says_no_number_is_told() -> None:
    """A file that is damaged there is no file with another number."""
    book, rewritten = book_of(["v", "w"], [777, "x"]), io.BytesIO()
    with zipfile.ZipFile(book) as old, zipfile.ZipFile(rewritten, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name).replace(b"<v>777</v>", b"<v>7.7.7</v>"))

    with pytest.raises(BadFile, match="cannot be read"):
        list(WorkbookRows(rewritten))
