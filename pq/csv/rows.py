"""Rows of a CSV file, with the line each begins on; a row that cannot be read is a value too, never skipped."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from topics.errors import WritebackError
from topics.names import MAX_EVENT_BYTES

DELIMITERS = ",;\t|"
REASON_COLUMNS = ("import_line", "import_reason")
"""Written before a rejected row, so that its own cells stay as they were; passed over when such a file is imported."""


class BadFile(WritebackError):
    """Not a CSV file that can be imported; the message says why."""


@dataclass(frozen=True, slots=True)
class Row:
    """``reason``: why it cannot be used; empty for a good row."""

    line: int
    cells: list[str]
    reason: str = ""


class CsvRows:
    """Reads as it is iterated, whatever the size; UTF-8, with or without a byte order mark.

    The first line names the columns. Raises ``BadFile`` for a file without usable column names.
    """

    def __init__(self, file: BinaryIO, *, delimiter: str | None = None) -> None:
        csv.field_size_limit(MAX_EVENT_BYTES)
        # surrogateescape: bytes that are not UTF-8 reach the rejects file as they were
        self._text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")
        first = self._text.readline()
        self.delimiter = delimiter or sniff(first)
        names = self._names(first)
        self._skipped = len(REASON_COLUMNS) if tuple(names[:2]) == REASON_COLUMNS else 0
        self.columns = names[self._skipped :]
        self._taken: list[str] = []
        self._reader = csv.reader(self._lines(), delimiter=self.delimiter, strict=True)

    def _lines(self) -> Iterator[str]:
        """The text's lines; those of the row being read are kept, for the case that it is no CSV."""
        for line in self._text:
            self._taken.append(line)
            yield line

    def _names(self, first: str) -> list[str]:
        try:
            names = [name.strip() for name in next(csv.reader([first], delimiter=self.delimiter, strict=True), [])]
        except csv.Error as error:
            raise BadFile(f"line 1 does not name columns: {error}") from error
        if not any(names):
            raise BadFile("line 1 names no columns; the first line of the file is its header")
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice or "" in names:
            raise BadFile(f"line 1 names {'a column without a name' if not twice else ', '.join(twice) + ' twice'}")
        if any(_undecodable(name) for name in names):
            raise BadFile("line 1 is not UTF-8; save the file as UTF-8, or convert it: iconv -f latin1 -t utf-8")
        return names

    def __iter__(self) -> Iterator[Row]:
        """Every row after the header; blank lines are passed over."""
        while True:
            line = self._reader.line_num + 2  # + the header, + the one it begins on
            self._taken.clear()
            try:
                cells = next(self._reader)
            except StopIteration:
                return
            except csv.Error as error:
                upto = self._reader.line_num + 1
                yield Row(line, ["".join(self._taken)], f"not CSV ({error}), read from line {line} to {upto}")
            else:
                if cells:
                    yield self._row(line, cells)

    def _row(self, line: int, cells: list[str]) -> Row:
        cells = cells[self._skipped :]
        if len(cells) != len(self.columns):
            return Row(line, cells, f"{len(cells)} cells under {len(self.columns)} columns")
        for name, cell in zip(self.columns, cells, strict=True):
            if _undecodable(cell):
                return Row(line, cells, f"{name} is not UTF-8")
        return Row(line, cells)


def sniff(header: str) -> str:
    """The delimiter that the header line has most of, outside quotes; a comma when it has none."""
    outside = "".join(header.split('"')[::2])
    return max(DELIMITERS, key=outside.count)


def _undecodable(text: str) -> bool:
    return not text.isascii() and any("\udc80" <= character <= "\udcff" for character in text)


class Rejects:
    """The rows that could not be imported, in a file that can be corrected and imported as it is."""

    def __init__(self, path: Path, rows: CsvRows) -> None:
        self.path = path
        self.count = 0
        self._columns = rows.columns
        self._delimiter = rows.delimiter
        self._file: io.TextIOWrapper | None = None

    def add(self, row: Row, reason: str) -> None:
        self.count += 1
        self._writer().writerow([row.line, reason, *row.cells])

    def _writer(self) -> Any:
        made = self._file is None
        if self._file is None:
            self._file = self.path.open("w", encoding="utf-8", errors="surrogateescape", newline="")
        writer = csv.writer(self._file, delimiter=self._delimiter)
        if made:
            writer.writerow([*REASON_COLUMNS, *self._columns])
        return writer

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
