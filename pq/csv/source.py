"""Opens what is to be imported, whatever it is packed in: text, a workbook, and either of them compressed."""

from __future__ import annotations

import bz2
import gzip
import lzma
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import IO, TYPE_CHECKING, NamedTuple, cast

from pq.csv import formats
from pq.csv.delimited import UNREADABLE, CsvRows
from pq.csv.formats import Foreign, foreign, foreign_archive
from pq.csv.head import Head
from pq.csv.rows import BadFile, Rows

if TYPE_CHECKING:
    from pq.csv.workbook import WorkbookRows

MAX_LAYERS = 4
"""Packed in one another: a workbook in a zip in a gzip is somebody's everyday file, more is a trap."""

_UNPACK: dict[bytes, Callable[[IO[bytes]], IO[bytes]]] = {
    formats.GZIP: lambda file: cast("IO[bytes]", gzip.GzipFile(fileobj=file)),
    formats.BZIP2: lambda file: cast("IO[bytes]", bz2.BZ2File(file)),
    formats.XZ: lambda file: cast("IO[bytes]", lzma.LZMAFile(file)),  # noqa: SIM115 - closed by the stack
}


class Reading(NamedTuple):
    """How a person says that the file is to be read; None: as the file itself says."""

    delimiter: str | None = None
    encoding: str | None = None
    sheet: str | None = None


@contextmanager
def opened_rows(file: IO[bytes], reading: Reading) -> Iterator[Rows]:
    """The rows of a file or a pipe. Raises ``BadFile``, naming what it is and what to do, where it has none."""
    with ExitStack() as stack:
        try:
            yield _rows(file, reading, stack, MAX_LAYERS)
        except UNREADABLE as error:
            raise BadFile(f"the file is broken off or damaged: {error}") from error


def _rows(file: IO[bytes], reading: Reading, stack: ExitStack, layers: int) -> Rows:
    head = Head(file)
    packed = next((magic for magic in _UNPACK if head.bytes.startswith(magic)), None)
    whole = cast("IO[bytes]", head)
    if packed is None and not head.bytes.startswith((formats.ZIP, formats.EMPTY_ZIP)):
        return _table(whole, head.bytes, reading)
    if not layers:
        raise BadFile(f"the file is packed more than {MAX_LAYERS} times; unpack it, and import what is in it")
    if packed is not None:
        return _rows(stack.enter_context(_UNPACK[packed](whole)), reading, stack, layers - 1)
    seekable = _seekable(file, whole, stack)
    archive = stack.enter_context(zipfile.ZipFile(seekable))
    names = archive.namelist()
    if "xl/workbook.xml" in names:
        return _workbook(seekable, reading)
    _refuse(foreign_archive(names))
    return _rows(stack.enter_context(_only_member(archive)), reading, stack, layers - 1)


def _table(file: IO[bytes], head: bytes, reading: Reading) -> CsvRows:
    if head.startswith(formats.OLE):
        _refuse(_ole(file))
    _refuse(foreign(head))
    if reading.sheet is not None:
        raise BadFile("--sheet is for workbooks, and this file is text")
    return CsvRows(file, delimiter=reading.delimiter, encoding=reading.encoding)


def _workbook(file: IO[bytes], reading: Reading) -> WorkbookRows:
    for option, given in (("--delimiter", reading.delimiter), ("--encoding", reading.encoding)):
        if given is not None:
            raise BadFile(f"{option} is for text, and this file is an Excel workbook; leave it out")
    from pq.csv.workbook import WorkbookRows  # noqa: PLC0415 - most files are none, and openpyxl is slow to load

    return WorkbookRows(file, sheet=reading.sheet)


def _refuse(what: Foreign | None) -> None:
    if what is not None:
        raise BadFile(f"this is no CSV file and no xlsx workbook, but {what.name}: {what.remedy}")


def _ole(file: IO[bytes]) -> Foreign:
    """Which kind, by the names of the streams in it; they are in UTF-16, anywhere in the file."""
    kinds = {
        "EncryptedPackage".encode("utf-16-le"): formats.LOCKED_WORKBOOK,
        "Workbook".encode("utf-16-le"): formats.LEGACY_WORKBOOK,
        "Book".encode("utf-16-le"): formats.LEGACY_WORKBOOK,
    }
    overlap, longest = b"", max(map(len, kinds))
    while chunk := file.read(1 << 20):
        for name, kind in kinds.items():
            if name in overlap + chunk:
                return kind
        overlap = chunk[-longest:]
    return formats.OTHER_OLE


def _only_member(archive: zipfile.ZipFile) -> IO[bytes]:
    files = [one for one in archive.infolist() if not one.is_dir() and not one.filename.startswith("__MACOSX/")]
    if len(files) != 1:
        listed = ", ".join(one.filename for one in files[:5]) + (", ..." if len(files) > 5 else "")
        raise BadFile(f"the zip file holds {len(files):,} files ({listed}); unpack it, and import one after the other")
    if files[0].flag_bits & 1:
        raise BadFile("the zip file is protected with a password; unpack it, and import what is in it")
    try:
        return archive.open(files[0])
    except NotImplementedError as error:
        raise BadFile(f"the zip file cannot be unpacked here ({error}); unpack it, and import what is in it") from error


def _seekable(file: IO[bytes], whole: IO[bytes], stack: ExitStack) -> IO[bytes]:
    """A zip file is read from its end: what comes from a pipe, or was compressed, goes into a temporary file first."""
    if file.seekable() and not isinstance(file, (gzip.GzipFile, bz2.BZ2File, lzma.LZMAFile, zipfile.ZipExtFile)):
        file.seek(0)
        return file
    kept: IO[bytes] = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
    shutil.copyfileobj(whole, kept)
    kept.seek(0)
    return kept
