"""The lines of a stream that is to hold one JSON object a line, whatever everyday encoding it has."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import IO

import click

from pq.csv.delimited import DOS_END
from pq.csv.dialect import MARK
from pq.csv.encoding import WINDOWS, detect, errors_for
from pq.csv.formats import binary


def json_lines(stream: IO[bytes]) -> Iterator[tuple[int, str | bytes]]:
    """The lines that are not blank, numbered from 1 on: UTF-8 as bytes, which may be wrong, UTF-16 and UTF-32 as text.

    Each as soon as it is there: a stream may be endless. Raises ``click.UsageError`` where it is no text at all.
    """
    chunks = iter(stream)
    first = next(chunks, b"")
    if (what := binary(first)) is not None:
        raise click.UsageError(f"stdin is no JSON, but {what.name}: {what.remedy}")
    encoding = detect(first)
    lines: Iterable[str | bytes] = chain([first], chunks)
    if not encoding.startswith("utf-8"):
        lines = _decoded(chain([first], chunks), encoding)
    for number, line in enumerate(map(_unmarked, lines), start=1):
        if line.strip():
            yield number, line


def not_utf8(error: UnicodeDecodeError) -> str:
    """What is wrong with a line, and what to do about it."""
    return (
        f"not UTF-8: {error.reason} at byte {error.start}; text from Windows is most often {WINDOWS}: "
        f"iconv -f {WINDOWS} -t utf-8"
    )


def _unmarked(line: str | bytes) -> str | bytes:
    """Without byte order marks, of which each file that was joined to a stream may have some, and without DOS's end."""
    if isinstance(line, str):
        return line.lstrip(MARK).rstrip(DOS_END)
    while line.startswith(codecs.BOM_UTF8):
        line = line.removeprefix(codecs.BOM_UTF8)
    return line.rstrip(DOS_END.encode())


def _decoded(chunks: Iterable[bytes], encoding: str) -> Iterator[str]:
    """The chunks may end anywhere, in the middle of a character too."""
    decoder = codecs.getincrementaldecoder(encoding)(errors_for(encoding))
    rest = ""
    for chunk in chunks:
        *whole, rest = (rest + decoder.decode(chunk)).split("\n")
        yield from whole
    yield rest + decoder.decode(b"", final=True)
