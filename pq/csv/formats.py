"""What a file is, by its first bytes, and what to do where it is none that can be imported."""

from __future__ import annotations

import re
from typing import NamedTuple

GZIP, BZIP2, XZ, ZIP = b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"PK\x03\x04"
EMPTY_ZIP = b"PK\x05\x06"
PACKED = (GZIP, BZIP2, XZ, ZIP, EMPTY_ZIP)
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
"""The container of .xls and of everything that Office encrypts ([MS-CFB])."""


class Foreign(NamedTuple):
    """What it is called, and what its owner can do."""

    name: str
    remedy: str


_SAVE_AS = "open it and save it as xlsx or as CSV (UTF-8)"
_EXPORT = "export it as CSV"

LEGACY_WORKBOOK = Foreign("an Excel workbook of the old format (.xls)", _SAVE_AS)
LOCKED_WORKBOOK = Foreign(
    "an Office file that is protected with a password", "open it with the password and save it without (File, Info)"
)
OTHER_OLE = Foreign("an Office file of the old format, and no workbook", _SAVE_AS)

_BY_MAGIC: tuple[tuple[bytes, Foreign], ...] = (
    (b"%PDF-", Foreign("a PDF", "ask for the table itself, as CSV or xlsx")),
    (b"PAR1", Foreign("Parquet", "convert it, for example: duckdb -c \"COPY 'in.parquet' TO 'out.csv'\"")),
    (b"ARROW1", Foreign("an Arrow (Feather) file", _EXPORT)),
    (b"Obj\x01", Foreign("Avro", _EXPORT)),
    (b"ORC", Foreign("ORC", _EXPORT)),
    (b"SQLite format 3\0", Foreign("a SQLite database", "sqlite3 -csv -header FILE 'SELECT ...' > out.csv")),
    (b"7z\xbc\xaf\x27\x1c", Foreign("a 7-Zip archive", "unpack it, and import what is in it")),
    (b"Rar!\x1a\x07", Foreign("a RAR archive", "unpack it, and import what is in it")),
    (b"\x28\xb5\x2f\xfd", Foreign("compressed with Zstandard", "unpack it: zstd -d FILE")),
    (b"\x04\x22\x4d\x18", Foreign("compressed with LZ4", "unpack it: lz4 -d FILE")),
    (b"\x89PNG", Foreign("a picture (PNG)", "ask for the table itself, as CSV or xlsx")),
    (b"\xff\xd8\xff", Foreign("a picture (JPEG)", "ask for the table itself, as CSV or xlsx")),
    (b"{\\rtf", Foreign("an RTF document", _SAVE_AS)),
)
_PACKED: tuple[tuple[bytes, Foreign], ...] = (
    (GZIP, Foreign("compressed with gzip", "unpack it: gunzip FILE")),
    (BZIP2, Foreign("compressed with bzip2", "unpack it: bunzip2 FILE")),
    (XZ, Foreign("compressed with xz", "unpack it: unxz FILE")),
    (ZIP, Foreign("a zip archive or a workbook", "`writeback import FILE` reads both")),
    (EMPTY_ZIP, Foreign("an empty zip archive", "there is nothing in it")),
    (OLE, Foreign("an Office file of the old format", _SAVE_AS)),
)
_TAR = Foreign("a tar archive", "unpack it (tar -xf FILE), and import what is in it")

_TEXTS: tuple[tuple[re.Pattern[bytes], Foreign], ...] = (
    (
        re.compile(rb"<!doctype html|<html|<table", re.IGNORECASE),
        Foreign("a web page (HTML)", "if a program saved it as .xls, open it there and save it as xlsx or CSV"),
    ),
    (re.compile(rb"<\?xml|<[a-zA-Z]+[\s>]"), Foreign("XML", _SAVE_AS)),
    (
        re.compile(rb'\{\s*"|\[\s*\{'),
        Foreign("JSON", "send one object a line: jq -c '.[]' FILE | writeback emit CONNECTION OPERATION OBJECT -"),
    ),
)
"""What a CSV file can begin with only by accident: a header that opens a tag or an object."""

_IN_ZIP: tuple[tuple[str, Foreign], ...] = (
    ("xl/workbook.bin", Foreign("a binary Excel workbook (.xlsb)", _SAVE_AS)),
    ("word/document.xml", Foreign("a Word document", "save its table as xlsx or CSV")),
    ("ppt/presentation.xml", Foreign("a PowerPoint presentation", "save its table as xlsx or CSV")),
    ("Index/Document.iwa", Foreign("an Apple Numbers or Pages document", "export it as Excel (xlsx) or CSV")),
    ("content.xml", Foreign("an OpenDocument file (.ods)", _SAVE_AS)),
)


def binary(head: bytes) -> Foreign | None:
    """What else than text the bytes begin, where they say so."""
    return next((what for magic, what in (*_PACKED, *_BY_MAGIC) if head.startswith(magic)), None)


def foreign(head: bytes) -> Foreign | None:
    """What else than a table in text the bytes begin, where they say so."""
    for magic, what in _BY_MAGIC:
        if head.startswith(magic):
            return what
    if head[257:262] == b"ustar":
        return _TAR
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    return next((what for pattern, what in _TEXTS if pattern.match(text)), None)


def foreign_archive(names: list[str]) -> Foreign | None:
    """What a zip file is, by the names of what is in it, when it is no archive of somebody's files."""
    return next((what for name, what in _IN_ZIP if name in names), None)
