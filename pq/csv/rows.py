"""Rows of a table, with the line each begins on; a row that cannot be used is a value too, never skipped."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from topics.errors import WritebackError

REASON_COLUMNS = ("import_line", "import_reason")
"""Written before a rejected row, so that its own cells stay as they were; passed over when such a file is imported."""


class BadFile(WritebackError):
    """Not a file that can be imported, or not further; the message says why."""


@dataclass(frozen=True, slots=True)
class Row:
    """``reason``: why it cannot be used; empty for a good row."""

    line: int
    cells: list[str]
    reason: str = ""


class Rows(Protocol):
    """What is iterated for an import.

    ``delimiter`` and ``rejects_encoding``: how rejected rows are written, so that whoever made the file can read them.
    """

    columns: list[str]
    delimiter: str
    rejects_encoding: str

    def __iter__(self) -> Iterator[Row]:
        """Every row after the header; blank ones are passed over. Raises ``BadFile`` where it cannot be read on."""


class Header:
    """The columns that the first line names.

    Columns without a name are passed over where they are the last ones and empty: exports end their lines with
    delimiters. Raises ``BadFile`` when the columns cannot be told apart.
    """

    def __init__(self, cells: Sequence[str], line: int = 1) -> None:
        names = [re.sub(r"\s*[\r\n]+\s*", " ", cell).strip() for cell in cells]
        while names and not names[-1]:
            names.pop()
        self._skipped = len(REASON_COLUMNS) if tuple(names[: len(REASON_COLUMNS)]) == REASON_COLUMNS else 0
        self.columns = names[self._skipped :]
        if not self.columns:
            raise BadFile(f"line {line} names no columns; the first line of the file is its header")
        if "" in names:
            raise BadFile(
                f"line {line}: column {names.index('') + 1} of {len(names)} has no name. Name it in the file; "
                "--map NAME= then leaves it out"
            )
        if any("\0" in name for name in names):
            raise BadFile(f"line {line} holds NUL characters: this is no text, or in an encoding that --encoding names")
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise BadFile(f"line {line} names {', '.join(twice)} twice; every column needs a name of its own")

    def row(self, line: int, cells: list[str]) -> Row:
        """The cells that are under the columns, or the reason why they cannot be."""
        cells, wanted = cells[self._skipped :], len(self.columns)
        if len(cells) < wanted or any(cells[wanted:]):
            return Row(line, cells, f"{len(cells)} cells under {wanted} columns")
        return Row(line, cells[:wanted])


def is_blank(cells: Sequence[str]) -> bool:
    """Nothing but empty cells: Excel saves such rows below a table."""
    return not any(cell.strip() for cell in cells)
