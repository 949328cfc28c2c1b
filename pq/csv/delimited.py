"""Rows of a delimited text (CSV), read as they are iterated: memory is the same whatever the size of the file."""

from __future__ import annotations

import csv
import io
import lzma
import re
import zipfile
import zlib
from collections import deque
from collections.abc import Iterator
from typing import IO

from pq.csv.dialect import read_heading
from pq.csv.encoding import advice, detect, errors_for, named, undecodable
from pq.csv.head import Head
from pq.csv.rows import BadFile, Header, Row, is_blank
from topics.names import MAX_EVENT_BYTES

MAX_LINE = 2 * MAX_EVENT_BYTES
"""Characters; a longer line is no row that an event could hold."""
DOS_END = "\x1a"
"""Ctrl-Z, the end of the file to programs that are as old as DOS."""
UNREADABLE = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile)
"""What a file or an archive raises that is broken off or damaged."""


class _LineTooLong(csv.Error):
    pass


class CsvRows:
    """The first line names the columns. Raises ``BadFile`` for a file without usable column names.

    ``encoding`` is the file's: as given, or as the first bytes say; ``delimiter``: as given, or as the header uses.
    """

    def __init__(self, file: IO[bytes], *, delimiter: str | None = None, encoding: str | None = None) -> None:
        csv.field_size_limit(MAX_EVENT_BYTES)
        head = Head(file)
        try:
            self.encoding = detect(head.bytes) if encoding is None else named(encoding, head.bytes)
        except ValueError as error:
            raise BadFile(str(error)) from error
        self._lines = _Lines(
            io.TextIOWrapper(
                io.BufferedReader(head), encoding=self.encoding, errors=errors_for(self.encoding), newline=""
            )
        )
        heading = read_heading(self._lines, delimiter, self.encoding)
        self.delimiter = heading.delimiter
        self.rejects_encoding = "utf-8" if self.encoding == "utf-8" else "utf-8-sig"  # the mark: Excel needs it
        self._header = Header(heading.cells, max(heading.lines, 1))
        self.columns = self._header.columns
        self._beyond_ascii = not all(map(str.isascii, self.columns))
        end = re.escape(self.delimiter)
        self._quoted = re.compile(rf'(?:^|(?<={end}))"(?:[^"]|"")*"(?={end}|\s*$)')

    def __iter__(self) -> Iterator[Row]:
        """Every row after the header; blank lines and rows are passed over."""
        lines = self._lines
        reader = self._reader()
        while True:
            lines.taken.clear()
            begins = lines.number + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield self._broken(begins, error)
                reader = self._reader()
            else:
                if not is_blank(cells):
                    yield self._row(begins, cells)

    def _reader(self) -> Iterator[list[str]]:
        return csv.reader(self._lines, delimiter=self.delimiter, strict=True)

    def _row(self, line: int, cells: list[str]) -> Row:
        row = self._header.row(line, cells)
        if row.reason:
            return row
        for name, cell in zip(self.columns, row.cells, strict=True):
            if not cell.isascii():
                if undecodable(cell):
                    told = advice(cell, self.encoding, mixed=self._beyond_ascii)
                    return Row(line, row.cells, f"{name} {told}")
                self._beyond_ascii = True
        return row

    def _broken(self, line: int, error: csv.Error) -> Row:
        """What is no CSV. A quote that nobody closed took the lines behind it along: they are given back."""
        taken = list(self._lines.taken)
        if isinstance(error, _LineTooLong):
            return Row(line, ["".join(taken)[:MAX_EVENT_BYTES]], str(error))
        if len(taken) == 1:
            return Row(line, taken, f"not CSV ({error})")
        last = line + len(taken) - 1
        if self._are_rows(taken[1:]):
            self._lines.give_back(taken[1:])
            return Row(
                line, taken[:1], f"not CSV: a quote opened on this line is not closed on it (read to line {last})"
            )
        return Row(line, ["".join(taken)], f"not CSV ({error}): a quote opened here, read from line {line} to {last}")

    def _are_rows(self, lines: list[str]) -> bool:
        """Are these rows of their own, and not the inside of a cell with line breaks?

        Nearly all of them have the right number of cells. With one column, or when the file is cut off within the last
        line, nobody can tell: a row that is rejected can be corrected, one that was made of a piece of text is sent.
        """
        width = len(self.columns)
        if width < 2 or not lines[-1].endswith(("\n", "\r")):
            return False
        right = sum(self._fits(line, width) for line in lines)
        return right * 10 >= len(lines) * 9 or right >= len(lines) - 1 > 0

    def _fits(self, line: str, width: int) -> bool:
        cells = next(csv.reader([line], delimiter=self.delimiter), [])
        whole = '"' not in self._quoted.sub("", line)  # of somebody's prose, quotes within a cell would be left
        return (whole and len(cells) >= width and not self._header.row(0, cells).reason) or is_blank(cells)


class _Lines:
    """The lines of a text, one by one. ``taken``: those since it was last cleared; ``number``: of the last one."""

    def __init__(self, text: io.TextIOWrapper) -> None:
        self._text = text
        self._again: deque[str] = deque()
        self.taken: list[str] = []
        self.number = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else self._read()
        if not line:
            raise StopIteration
        self.number += 1
        self.taken.append(line)
        if len(line) >= MAX_LINE and not line.endswith(("\n", "\r")):
            while rest := self._read():
                if rest.endswith(("\n", "\r")):
                    break
            raise _LineTooLong(f"a line of more than {MAX_LINE:,} characters, which no event holds")
        return line

    def give_back(self, lines: list[str]) -> None:
        self._again.extendleft(reversed(lines))
        self.number -= len(lines)

    def _read(self) -> str:
        try:
            line = self._text.readline(MAX_LINE)
        except UNREADABLE as error:
            raise BadFile(f"the file cannot be read on after line {self.number}: {error}") from error
        return line.rstrip(DOS_END) if len(line) < MAX_LINE else line  # no line but the last ends without a line break
