"""CSV files as people have them: every row is either usable, or told with its line and kept."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from pq.csv.delimited import CsvRows
from pq.csv.dialect import sniff
from pq.csv.rejects import Rejects
from pq.csv.rows import BadFile, Row


def read(content: bytes) -> CsvRows:
    return CsvRows(io.BytesIO(content))


def test_rows_know_their_lines() -> None:
    """Blank lines and line breaks inside quotes do not shift the numbers."""
    rows = read(b'a,b\n1,2\n\n3,"4\n5"\r\n6,7\n')

    assert list(rows) == [Row(2, ["1", "2"]), Row(4, ["3", "4\n5"]), Row(6, ["6", "7"])]


def test_a_byte_order_mark_is_no_part_of_the_first_column() -> None:
    """What Excel saves can be imported."""
    assert read("\ufeffnaam;plaats\nJosé;Liège\n".encode()).columns == ["naam", "plaats"]


def test_more_than_one_byte_order_mark() -> None:
    """Programs add one to a file that has it: none is a part of the name, where nobody would see it."""
    assert read("\ufeff\ufeff\ufeffnaam;plaats\n".encode()).columns == ["naam", "plaats"]
    assert read("\ufeff\ufeffsep=|\na|b\n".encode("utf-16-le")).columns == ["a", "b"]


@pytest.mark.parametrize("end", [b"\x1a", b"\r\n\x1a", b"\r\n\x1a\x1a\x1a"])
def test_the_end_of_the_file_of_dos(end: bytes) -> None:
    """Ctrl-Z there is no cell; within the file it is kept."""
    assert [row.cells for row in read(b"a,b\r\n\x1a,2\r\n3,4" + end)] == [["\x1a", "2"], ["3", "4"]]


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
        (b"1,\xe9", "b is not UTF-8; with --encoding windows-1252 it reads 'é'"),
        (
            b"1,\x82t\x82",
            "b is not UTF-8; name what it is with --encoding (cp437, cp1250, shift_jis, ...), or save it as UTF-8",
        ),
        (b'"1"x,2', "not CSV (',' expected after '\"')"),
    ],
)
def test_a_bad_row_is_told_and_the_next_one_read(line: bytes, reason: str) -> None:
    """A reason names what is wrong; what comes behind is not lost."""
    rows = list(read(b"a,b\n1,2\n" + line + b"\n3,4\n"))

    assert (rows[1].line, rows[1].reason) == (3, reason)
    assert rows[2] == Row(4, ["3", "4"])


def test_one_wrong_row_among_utf8_is_no_other_encoding() -> None:
    """The advice must not spoil the rows that are right."""
    rows = list(read("a,b\n1,é\n".encode() + b"2,\xe9\n"))

    assert rows[1].reason == "b is not UTF-8, though other rows are: correct this one"


@pytest.mark.parametrize("before", [0, 700])
def test_a_quote_that_is_never_closed_is_found_at_its_own_line(before: int) -> None:
    """The rows behind it are read, wherever the quote was taken to end: at another quote, at the end, or at 1 MiB."""
    good = "".join(f"{n},x\n" for n in range(before))
    for rest in ("3,4\n5,6\n", '3,"4"\n5,6\n', "".join(f"{n},{'x' * 90}\n" for n in range(20_000))):
        rows = list(read(f'a,b\n{good}1,"x\n{rest}'.encode()))
        bad = [row for row in rows if row.reason]
        assert len(rows) == before + 1 + rest.count("\n")
        assert [(row.line, row.cells) for row in bad] == [(2 + before, ['1,"x\n'])]
        assert bad[0].reason.startswith("not CSV: a quote opened on this line is not closed on it")


@pytest.mark.parametrize(
    "text",
    [
        'a,b\n1,"first\nsecond\nthird, with a comma\nfourth\n',
        'a,b\n1,"first\nsecond, cut off',
        'a,b\n1,"first\nsaid "hi", and went\n',
        'a\n"first\nsecond\n',
    ],
)
def test_the_inside_of_a_cell_is_never_sent_as_rows(text: str) -> None:
    """Where the lines behind an open quote may be its text, all of it is one rejected row."""
    (row,) = read(text.encode())

    assert (row.line, row.cells) == (2, [text.partition("\n")[2]])
    assert "a quote opened here, read from line 2 to" in row.reason


def test_a_line_without_an_end_is_told_and_left_behind() -> None:
    """Memory is bounded, whatever is in the file."""
    rows = list(read(b"a,b\n1,2\n3," + b"x" * 5_000_000 + b"\n5,6\n"))

    assert [(row.line, row.reason[:9]) for row in rows] == [(2, ""), (3, "a line of"), (4, "")]


def test_blank_rows_and_ends_of_lines_of_exports() -> None:
    """Rows of nothing but delimiters, and delimiters behind the last column."""
    rows = read(b"\r\na;b;;\r\n1;2;;\r\n;;;\r\n ; ;;\r\n3;4\r\n5;6;;x\r\n\r\n")

    assert rows.columns == ["a", "b"]
    assert list(rows) == [
        Row(3, ["1", "2"]),
        Row(6, ["3", "4"]),
        Row(7, ["5", "6", "", "x"], "4 cells under 2 columns"),
    ]


@pytest.mark.parametrize("first", [b"sep=;\r\n", b'"sep=;"\n', b"SEP=;\n", b"\xef\xbb\xbfsep=;\n"])
def test_the_line_that_names_the_delimiter(first: bytes) -> None:
    """Excel's own; --delimiter wins over it."""
    rows = read(first + b"a,b;c\n1,2;3\n")

    assert (rows.columns, list(rows)) == (["a,b", "c"], [Row(3, ["1,2", "3"])])
    assert CsvRows(io.BytesIO(first + b"a,b;c\n"), delimiter=",").columns == ["a", "b;c"]


def test_line_breaks_in_the_names_of_columns() -> None:
    """They are spaces in a name, and lines for whoever counts."""
    rows = read(b'"First\r\nname";"E-mail\n(work)"\r\nJohn;j@x.org\r\n')

    assert (rows.columns, list(rows)) == (["First name", "E-mail (work)"], [Row(4, ["John", "j@x.org"])])


@pytest.mark.parametrize(
    ("header", "told"),
    [
        (b"", "names no columns"),
        (b"\n\n", "names no columns"),
        (b",,\n1,2,3", "names no columns"),
        (b'a,"b\n1,2\n', "line 1 does not name columns"),
        (b"a,a\n", "a twice"),
        (b"a,,b\n", "column 2 of 3 has no name"),
        (b"na\xe9m,b\n", "not UTF-8; with --encoding windows-1252 it reads 'naém,b'"),
        (b"a\0,b\n", "NUL"),
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

    told = "b is not UTF-8; with --encoding windows-1252 it reads 'é'"
    assert again == (
        f'import_line;import_reason;a;b\r\n2;"{told}";1;'.encode() + b"\xe9\r\n3;1 cells under 2 columns;1\r\n"
    )
    assert [row.line for row in read(again) if row.reason] == [2, 3]
    assert next(iter(read(again.replace(b"\xe9", b"e")))) == Row(2, ["1", "e"])


def test_without_rejects_no_file_is_made(tmp_path: Path) -> None:
    """An empty rejects file would look like work."""
    Rejects(tmp_path / "r.csv", read(b"a\n")).close()

    assert list(tmp_path.iterdir()) == []
