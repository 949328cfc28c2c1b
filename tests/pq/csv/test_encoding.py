"""Whatever bytes an everyday export is in, it is read as it was written, or told what it is."""

from __future__ import annotations

import codecs
import io

import pytest

from pq.csv.delimited import CsvRows
from pq.csv.encoding import advice, detect, is_encoding
from pq.csv.rows import BadFile, Row

TEXT = "naam;plaats\r\nJosé;Liège\r\n王;上海\r\n"


@pytest.mark.parametrize(
    "content",
    [
        TEXT.encode(),
        TEXT.encode("utf-8-sig"),
        TEXT.encode("utf-16"),
        codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
        TEXT.encode("utf-16-le"),
        TEXT.encode("utf-16-be"),
        TEXT.encode("utf-32"),
    ],
    ids=["utf-8", "utf-8-sig", "utf-16 mark", "utf-16-be mark", "utf-16-le", "utf-16-be", "utf-32"],
)
def test_unicode_is_seen_by_its_first_bytes(content: bytes) -> None:
    """With a byte order mark and without."""
    rows = CsvRows(io.BytesIO(content))

    assert rows.columns == ["naam", "plaats"]
    assert list(rows) == [Row(2, ["José", "Liège"]), Row(3, ["王", "上海"])]


def test_utf16_without_a_mark_and_without_ascii_names() -> None:
    """Only delimiters and ends of lines hold a NUL then."""
    assert detect("姓名,城市\n王小明,上海\n".encode("utf-16-le")) == "utf-16-le"


@pytest.mark.parametrize("text", [b"a,b\nx\0,2\n", b"a,b\nxx\0,2\n", b"a,b\n" + b"\0\0\0\0"])
def test_stray_nul_characters_are_no_utf16(text: bytes) -> None:
    """A cell may hold one; the file is UTF-8 still."""
    assert detect(text) == "utf-8"


@pytest.mark.parametrize(
    ("encoding", "text"), [("windows-1252", "José €"), ("cp850", "Köln"), ("shift_jis", "東京"), ("utf-16-le", "x")]
)
def test_an_encoding_can_be_named(encoding: str, text: str) -> None:
    """What the bytes do not say, a person can."""
    content = f"a,b\n{text},2\n".encode(encoding)

    assert list(CsvRows(io.BytesIO(content), encoding=encoding)) == [Row(2, [text, "2"])]


def test_a_named_encoding_that_the_file_contradicts() -> None:
    """Its mark says what it is; reading it otherwise would spoil every row."""
    with pytest.raises(BadFile, match="mark of UTF-8: leave out --encoding"):
        CsvRows(io.BytesIO(TEXT.encode("utf-8-sig")), encoding="windows-1252")


def test_what_is_not_in_the_encoding_is_its_row_alone() -> None:
    """Half a surrogate pair in UTF-16, a byte that windows-1252 does not have."""
    broken = "a,b\n1,".encode("utf-16-le") + b"\x00\xd8" + "\n3,4\n".encode("utf-16-le")
    wide = list(CsvRows(io.BytesIO(codecs.BOM_UTF16_LE + broken)))
    narrow = list(CsvRows(io.BytesIO(b"a,b\n1,\x81\n3,4\n"), encoding="windows-1252"))

    assert [(row.line, row.reason) for row in wide] == [(2, "b is not utf-16"), (3, "")]
    assert [(row.line, row.reason) for row in narrow] == [(2, "b is not cp1252"), (3, "")]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"Jos\xe9", "with --encoding windows-1252 it reads 'José'"),
        (b"\x80 5 \x96 \x93ok\x94", "with --encoding windows-1252 it reads '€ 5 – “ok”'"),  # noqa: RUF001
        (b"K\x94ln \x81", "name what it is with --encoding"),
    ],
)
def test_windows_1252_is_advised_where_it_fits(text: bytes, told: str) -> None:
    """With how the text would read, for whoever knows how it should."""
    assert told in advice(text.decode("utf-8", "surrogateescape"), "utf-8", mixed=False)


@pytest.mark.parametrize(("name", "known"), [("windows-1252", True), ("UTF16", True), ("base64", False), ("x", False)])
def test_names_of_encodings(name: str, known: bool) -> None:
    """Of text."""
    assert is_encoding(name) is known
