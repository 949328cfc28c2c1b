"""CSV files as people have them: every row is either usable, or told with its line and kept."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from pq.csv.rows import BadFile, CsvRows, Rejects, Row, sniff


def read(content: bytes) -> CsvRows:
    return CsvRows(io.BytesIO(content))


def test_rows_know_their_lines() -> None:
    """Blank lines and line breaks inside quotes do not shift the numbers."""
    rows = read(b'a,b\n1,2\n\n3,"4\n5"\r\n6,7\n')

    assert list(rows) == [Row(2, ["1", "2"]), Row(4, ["3", "4\n5"]), Row(6, ["6", "7"])]


def test_a_byte_order_mark_is_no_part_of_the_first_column() -> None:
    """What Excel saves can be imported."""
    assert read("\ufeffnaam;plaats\nJosé;Liège\n".encode()).columns == ["naam", "plaats"]


@pytest.mark.parametrize(
    ("header", "delimiter"),
    [("a,b", ","), ("a;b", ";"), ("a\tb", "\t"), ("a|b", "|"), ('"a,b,c";d', ";"), ("a", ",")],
)
def test_the_delimiter_is_seen_in_the_header(header: str, delimiter: str) -> None:
    """Outside quotes only."""
    assert sniff(header) == delimiter


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"1", "1 cells under 2 columns"),
        (b"1,2,3", "3 cells under 2 columns"),
        (b"1,\xe9", "b is not UTF-8"),
        (b'"1"x,2', "not CSV (',' expected after '\"'), read from line 3 to 3"),
    ],
)
def test_a_bad_row_is_told_and_the_next_one_read(line: bytes, reason: str) -> None:
    """A reason names what is wrong; what comes behind is not lost."""
    rows = list(read(b"a,b\n1,2\n" + line + b"\n3,4\n"))

    assert (rows[1].line, rows[1].reason) == (3, reason)
    assert rows[2] == Row(4, ["3", "4"])


def test_a_quote_that_is_never_closed_keeps_what_it_swallowed() -> None:
    """The reason says from where to where, and the text is there to be mended."""
    rows = list(read(b'a,b\n1,"x\n3,4\n'))

    assert rows == [Row(2, ['1,"x\n3,4\n'], "not CSV (unexpected end of data), read from line 2 to 3")]


@pytest.mark.parametrize(
    ("header", "told"),
    [
        (b"", "names no columns"),
        (b"\n1,2", "names no columns"),
        (b"a,a\n", "a twice"),
        (b"a,,b\n", "a column without a name"),
        (b"na\xe9m,b\n", "not UTF-8"),
    ],
)
def test_a_header_that_names_no_columns(header: bytes, told: str) -> None:
    """A file whose columns cannot be told apart is refused whole."""
    with pytest.raises(BadFile, match=told):
        read(header)


def test_rejects_can_be_corrected_and_imported(tmp_path: Path) -> None:
    """They keep their bytes, stay wrong while they are, and carry line and reason."""
    rows = read(b"a;b\n1;\xe9\n1\n")
    rejects = Rejects(tmp_path / "r.csv", rows)
    for row in rows:
        rejects.add(row, row.reason)
    rejects.close()
    again = (tmp_path / "r.csv").read_bytes()

    assert again == (b"import_line;import_reason;a;b\r\n2;b is not UTF-8;1;\xe9\r\n3;1 cells under 2 columns;1\r\n")
    assert [row.reason for row in read(again)] == ["b is not UTF-8", "1 cells under 2 columns"]
    assert next(iter(read(again.replace(b"\xe9", b"e")))) == Row(2, ["1", "e"])


def test_without_rejects_no_file_is_made(tmp_path: Path) -> None:
    """An empty rejects file would look like work."""
    Rejects(tmp_path / "r.csv", read(b"a\n")).close()

    assert list(tmp_path.iterdir()) == []
