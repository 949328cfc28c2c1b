"""The header of a delimited text and its delimiter, as everyday exports write them."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from typing import NamedTuple

from pq.csv.encoding import advice, undecodable
from pq.csv.rows import BadFile, is_blank

MARK = "\ufeff"
"""The byte order mark. Decoding takes the first one away, and some programs add one to a file that has it."""
DELIMITERS = ",;\t|"
MAX_HEADER_LINES = 100
"""A header with line breaks in its names is that long at most; beyond, a quote in it was never closed."""

_SEP = re.compile(r'"?sep=(.)"?\r?\n?', re.IGNORECASE)
"""Excel's own first line, which names the delimiter and is no header."""


class Heading(NamedTuple):
    """``lines``: how many lines of the file it takes, with what stands above it."""

    delimiter: str
    cells: list[str]
    lines: int


def read_heading(text: Iterator[str], delimiter: str | None, encoding: str) -> Heading:
    """Takes the lines of the header from ``text``. Raises ``BadFile``."""
    lines, line = 0, ""
    for line in text:
        lines += 1
        if lines == 1 and (sep := _SEP.fullmatch(line.lstrip(MARK))):
            delimiter = delimiter or sep[1]
        elif line.strip():
            break
    else:
        line = ""
    header, first = [line.lstrip(MARK)], lines
    while True:
        whole = "".join(header)
        if undecodable(whole):
            raise BadFile(f"line {first} {advice(whole.strip(), encoding, mixed=False)}")
        used = delimiter or sniff(whole)
        try:
            cells = next(csv.reader(header, delimiter=used, strict=True), [])
        except csv.Error as error:
            following = next(text, None) if "end of data" in str(error) and len(header) < MAX_HEADER_LINES else None
            if following is None:
                raise BadFile(f"line {first} does not name columns: {error}") from error
            header.append(following)
            lines += 1
        else:
            return Heading(used, [] if is_blank(cells) else cells, lines)


def sniff(header: str) -> str:
    """The delimiter that the header has most of, outside quotes; a comma when it has none."""
    outside = "".join(header.split('"')[::2])
    return max(DELIMITERS, key=outside.count)
