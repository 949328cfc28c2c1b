"""Files as they come out of mail boxes and exports: compressed, in archives, or something else altogether."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

import openpyxl
import pytest

from pq.csv.rows import BadFile, Row
from pq.csv.source import Reading, opened_rows

CSV = "email,naam\r\na@x.org,José\r\n".encode()
ROWS = [Row(2, ["a@x.org", "José"])]


def zipped(*members: tuple[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return packed.getvalue()


def workbook() -> bytes:
    book = openpyxl.Workbook()
    book.active.append(["email", "naam"])
    book.active.append(["a@x.org", "José"])
    saved = io.BytesIO()
    book.save(saved)
    return saved.getvalue()


def piped(content: bytes) -> IO[bytes]:
    """A stream that cannot be read twice."""
    child, parent = os.pipe()
    if not os.fork():
        with os.fdopen(parent, "wb") as writing:
            writing.write(content)
        os._exit(0)
    os.close(parent)
    return os.fdopen(child, "rb")


PACKED: dict[str, Callable[[], bytes]] = {
    "plain": lambda: CSV,
    "gzip": lambda: gzip.compress(CSV),
    "two gzips": lambda: gzip.compress(CSV[:20]) + gzip.compress(CSV[20:]),
    "bzip2": lambda: bz2.compress(CSV),
    "xz": lambda: lzma.compress(CSV),
    "zip": lambda: zipped(("folder/", b""), ("folder/c.csv", CSV), ("__MACOSX/._c.csv", b"x")),
    "xlsx": workbook,
    "xlsx in a zip": lambda: zipped(("b.xlsx", workbook())),
    "xlsx in a gzip": lambda: gzip.compress(workbook()),
    "utf-16 in a gzip": lambda: gzip.compress(CSV.decode().encode("utf-16")),
}


@pytest.mark.parametrize("stream", [io.BytesIO, piped], ids=["file", "pipe"])
@pytest.mark.parametrize("kind", PACKED)
def test_whatever_it_is_packed_in(kind: str, stream: Callable[[bytes], IO[bytes]]) -> None:
    """The rows are the same, from a file and from a pipe."""
    with stream(PACKED[kind]()) as file, opened_rows(file, Reading()) as rows:
        read = (rows.columns, list(rows))

    assert read == (["email", "naam"], ROWS)


def tar() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        info = tarfile.TarInfo("c.csv")
        info.size = len(CSV)
        archive.addfile(info, io.BytesIO(CSV))
    return packed.getvalue()


def ole(stream: str) -> bytes:
    """The beginning of a compound file with a stream of that name in its directory."""
    return b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1".ljust(512, b"\0") + stream.encode("utf-16-le").ljust(128, b"\0")


FOREIGN: dict[str, tuple[Callable[[], bytes], str]] = {
    "xls": (lambda: ole("Workbook"), r"an Excel workbook of the old format \(.xls\): open it and save it as xlsx"),
    "xlsx with a password": (lambda: ole("EncryptedPackage"), "protected with a password: open it with the password"),
    "doc": (lambda: ole("WordDocument"), "an Office file of the old format"),
    "ods": (lambda: zipped(("mimetype", b""), ("content.xml", b"")), r"an OpenDocument file \(.ods\): open it"),
    "xlsb": (lambda: zipped(("xl/workbook.bin", b"")), r"a binary Excel workbook \(.xlsb\)"),
    "docx": (lambda: zipped(("word/document.xml", b"")), "a Word document"),
    "numbers": (lambda: zipped(("Index/Document.iwa", b"")), "an Apple Numbers"),
    "parquet": (lambda: b"PAR1\x15\x04", "Parquet: convert it"),
    "pdf": (lambda: b"%PDF-1.7\n", "a PDF: ask for the table itself"),
    "html": (lambda: b"\r\n <HTML><body><table>", r"a web page \(HTML\)"),
    "xml": (lambda: b'<?xml version="1.0"?><rows/>', "XML"),
    "json": (lambda: b'[\n {"a": 1}]', "JSON: send one object a line: jq"),
    "json lines": (lambda: b'{"a": 1}\n', "JSON: send one object a line: jq"),
    "sqlite": (lambda: b"SQLite format 3\0", "a SQLite database"),
    "zstd": (lambda: b"\x28\xb5\x2f\xfd\x04", "Zstandard: unpack it: zstd -d"),
    "tar": (tar, "a tar archive"),
    "tar in a gzip": (lambda: gzip.compress(tar()), "a tar archive"),
    "two in a zip": (lambda: zipped(("a.csv", CSV), ("b.csv", CSV)), r"holds 2 files \(a.csv, b.csv\)"),
    "an empty zip": (zipped, "holds 0 files"),
    "not the whole gzip": (lambda: gzip.compress(CSV)[:-12], "cannot be read on|broken off or damaged"),
    "not the whole zip": (lambda: zipped(("a.csv", CSV))[:-30], "broken off or damaged"),
    "a gzip of noise": (lambda: b"\x1f\x8b\x08" + b"x" * 50, "broken off or damaged"),
    "a zip that is no workbook": (
        lambda: zipped(("xl/workbook.xml", b"<x/>")),
        "workbook that cannot be read .*: open it",
    ),
    "packed too often": (lambda: pack(CSV, 6), "packed more than 4 times"),
}


def pack(content: bytes, times: int) -> bytes:
    return pack(gzip.compress(content), times - 1) if times else content


@pytest.mark.parametrize("kind", FOREIGN)
def test_what_is_no_table_is_named(kind: str) -> None:
    """What it is, and what its owner can do: found before anything is sent."""
    content, told = FOREIGN[kind]
    with pytest.raises(BadFile, match=told), opened_rows(io.BytesIO(content()), Reading()) as rows:
        list(rows)


@pytest.mark.parametrize(
    ("content", "reading", "told"),
    [
        (CSV, Reading(sheet="x"), "--sheet is for workbooks"),
        (workbook(), Reading(delimiter=";"), "--delimiter is for text"),
        (workbook(), Reading(encoding="utf-8"), "--encoding is for text"),
    ],
)
def test_no_option_is_taken_and_passed_over(content: bytes, reading: Reading, told: str) -> None:
    """One that the file has no use for is refused."""
    with pytest.raises(BadFile, match=told), opened_rows(io.BytesIO(content), reading):
        pass


def test_a_locked_zip(tmp_path: Path) -> None:
    """The flag of a member says it."""
    content = bytearray(zipped(("a.csv", CSV)))
    for at, flags in ((content.index(b"PK\x03\x04"), 6), (content.index(b"PK\x01\x02"), 8)):
        content[at + flags] |= 1
    with pytest.raises(BadFile, match="protected with a password"), opened_rows(io.BytesIO(content), Reading()):
        pass


def test_temporary_files_are_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A workbook from a pipe is kept as long as it is read."""
    kept = tempfile.TemporaryFile()  # noqa: SIM115 - closed by the code under test
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda: kept)
    with piped(workbook()) as file, opened_rows(file, Reading()) as rows:
        assert list(rows) == ROWS

    assert kept.closed
