"""What the next owner of a partition must know, in the 4,096 bytes that a commit can carry.

``1`` + base64 of (deflated or not) varints: ``sent_to``, what is done beyond the watermark as runs or as a bitset
(whichever is shorter: one stuck record before 50,000 successes is a few bytes, ten thousand in random order are
1,250), the attempts of what is unfinished, and for which of that a letter was announced. The caller ignores metadata
that is not ours, or of a later version that we cannot read, with a warning: the cost is a repetition, never a loss.
"""

from __future__ import annotations

import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, chain, islice, pairwise
from typing import Literal, get_args

from topics.log import METADATA_BUDGET

VERSION = "1"
CROWDED = METADATA_BUDGET * 3 // 4
"""Characters from which on no new records are taken from the partition."""
_DEFLATE_FROM = 128
_RUNS, _BITS = 0, 1
LetterCause = Literal[
    "", "rejected", "exhausted", "unknown-outcome", "blocked", "malformed", "unknown-function", "unknown-connection"
]
_CAUSES: tuple[LetterCause, ...] = get_args(LetterCause)
"""By their code."""

Range = tuple[int, int]
"""Offsets [start, end)."""


@dataclass(frozen=True, slots=True)
class Tries:
    """What was tried so far of one event.

    ``spent`` attempts; ``first_at`` and ``due`` in seconds since the epoch (0: none); ``doubt``: one of the calls may
    have happened; ``letter_cause``: the verdict of its letter, which may be written already, so that no call may start.
    """

    spent: int
    first_at: float = 0.0
    due: float = 0.0
    doubt: bool = False
    letter_cause: LetterCause = ""


@dataclass(frozen=True, slots=True)
class Memory:
    """``sent_to``: no call that cannot be repeated was ever made for an offset at or above it."""

    sent_to: int = 0
    done: Sequence[Range] = ()
    tries: Mapping[int, Tries] = field(default_factory=dict)


class ForeignMetadata(ValueError):
    """The commit carries metadata that this worker cannot read."""


def encode(watermark: int, memory: Memory) -> str:
    """At most ``METADATA_BUDGET`` characters: what does not fit is left out.

    The attempts of what is not announced as a letter first, then all of them, then the highest runs.
    """
    if not memory.done and not memory.tries and memory.sent_to <= watermark:
        return ""
    done = list(memory.done)
    text = _pack(watermark, memory.sent_to, done, memory.tries)
    if len(text) > METADATA_BUDGET:
        announced = {
            offset: Tries(0, doubt=entry.doubt, letter_cause=entry.letter_cause)
            for offset, entry in memory.tries.items()
            if entry.letter_cause
        }
        text = _pack(watermark, memory.sent_to, done, announced)
    if len(text) > METADATA_BUDGET:
        text = _pack(watermark, memory.sent_to, done, {})
    while len(text) > METADATA_BUDGET and done:
        done = done[: len(done) * 3 // 4]
        text = _pack(watermark, memory.sent_to, done, {})
    return text


def decode(watermark: int, text: str) -> Memory:
    """Raises ``ForeignMetadata``."""
    if not text:
        return Memory(sent_to=watermark)
    if text[0] != VERSION:
        raise ForeignMetadata(f"commit metadata of version {text[0]!r}; this worker reads {VERSION!r}")
    try:
        raw = b64decode(text[1:], validate=True)
        body = zlib.decompress(raw[1:]) if raw[0] else raw[1:]
        return _unpack(watermark, iter(body))
    except (ValueError, IndexError, StopIteration, RuntimeError, zlib.error) as error:
        # RuntimeError: what a generator makes of the StopIteration of a text that was cut off
        raise ForeignMetadata(f"commit metadata that cannot be read: {error!r}") from error


def _pack(watermark: int, sent_to: int, done: Sequence[Range], tries: Mapping[int, Tries]) -> str:
    out = bytearray()
    _put(out, max(0, sent_to - watermark))
    _put_done(out, watermark, done)
    base = int(min((t.first_at for t in tries.values() if t.first_at), default=0))
    _put(out, base)
    _put(out, len(tries))
    offsets = sorted(tries)
    entries = [tries[offset] for offset in offsets]
    _put_all(out, (offset - before for before, offset in pairwise([watermark, *offsets])))
    _put_all(out, (entry.spent << 1 | entry.doubt for entry in entries))
    _put_all(out, (max(0, round(entry.first_at) - base) for entry in entries))
    _put_all(out, (max(0, round(entry.due) - base) if entry.due else 0 for entry in entries))
    _put_causes(out, entries)
    flag, body = 0, bytes(out)
    if len(body) >= _DEFLATE_FROM:
        deflated = zlib.compress(body, 1)
        if len(deflated) < len(body):
            flag, body = 1, deflated
    return VERSION + b64encode(bytes((flag,)) + body).decode()


def _put_causes(out: bytearray, entries: Sequence[Tries]) -> None:
    """Which entries, and their codes. Came later: texts without it end here, and old readers look no further."""
    announced = [
        (place, _CAUSES.index(entry.letter_cause)) for place, entry in enumerate(entries) if entry.letter_cause
    ]
    if announced:
        _put(out, len(announced))
        _put_all(out, (place - before for before, place in pairwise([0, *(place for place, _ in announced)])))
        _put_all(out, (code for _, code in announced))


def _put_done(out: bytearray, watermark: int, done: Sequence[Range]) -> None:
    runs = bytearray()
    _put(runs, len(done))
    ends = [watermark, *(end for _, end in done)]
    _put_all(runs, (start - before for before, (start, _) in zip(ends, done, strict=False)))
    _put_all(runs, (end - start for start, end in done))
    span = ends[-1] - watermark
    if len(runs) <= span // 8 + 4:
        out.append(_RUNS)
        out += runs
        return
    bits = 0
    for start, end in done:
        bits |= ((1 << (end - start)) - 1) << (start - watermark)
    out.append(_BITS)
    _put(out, span)
    out += bits.to_bytes((span + 7) // 8, "little")


def _unpack(watermark: int, source: Iterator[int]) -> Memory:
    sent_to = watermark + _get(source)
    kind = next(source)
    if kind == _RUNS:
        done = list(_get_runs(watermark, source))
    elif kind == _BITS:
        span = _get(source)
        bits = int.from_bytes(bytes(next(source) for _ in range((span + 7) // 8)), "little")
        done = list(_runs_of(watermark, span, bits))
    else:
        raise ValueError(f"map of kind {kind}")
    base = _get(source)
    count = _get(source)
    deltas, spents, firsts, dues = (_get_all(count, source) for _ in range(4))
    causes = _get_causes(count, source)
    tries = {
        offset: Tries(
            spent >> 1,
            float(base + first) if base else 0.0,
            float(base + due) if due else 0.0,
            bool(spent & 1),
            letter_cause,
        )
        for offset, spent, first, due, letter_cause in zip(
            _summed(watermark, deltas), spents, firsts, dues, causes, strict=True
        )
    }
    return Memory(sent_to, done, tries)


def _get_causes(count: int, source: Iterator[int]) -> list[LetterCause]:
    causes: list[LetterCause] = [""] * count
    first = next(source, None)
    if first is None:
        return causes
    announced = _get(chain((first,), source))
    places, codes = _get_all(announced, source), _get_all(announced, source)
    for place, code in zip(accumulate(places), codes, strict=True):
        known = code < len(_CAUSES)  # a later version's cause: a letter all the same
        causes[place] = _CAUSES[code] if known else "unknown-outcome"
    return causes


def _summed(start: int, deltas: Sequence[int]) -> Iterator[int]:
    return islice(accumulate(deltas, initial=start), 1, None)


def _get_runs(watermark: int, source: Iterator[int]) -> Iterable[Range]:
    count = _get(source)
    gaps, lengths = _get_all(count, source), _get_all(count, source)
    cursor = watermark
    for gap, length in zip(gaps, lengths, strict=True):
        start = cursor + gap
        cursor = start + length
        yield start, cursor


def _runs_of(watermark: int, span: int, bits: int) -> Iterable[Range]:
    digits = f"{bits:b}".rjust(span, "0")[::-1]
    start = digits.find("1")
    while start >= 0:
        end = digits.find("0", start)
        if end < 0:
            end = span
        yield watermark + start, watermark + end
        start = digits.find("1", end)


def _put(out: bytearray, number: int) -> None:
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)


def _put_all(out: bytearray, numbers: Iterable[int]) -> None:
    """A column: what is alike stands together, so that it deflates."""
    for number in numbers:
        _put(out, number)


def _get_all(count: int, source: Iterator[int]) -> list[int]:
    numbers = []
    for _ in range(count):
        numbers.append(_get(source))  # noqa: PERF401 - a generator would turn the end of the text into another error
    return numbers


def _get(source: Iterator[int]) -> int:
    number = shift = 0
    while True:
        byte = next(source)
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number
        shift += 7
        if shift > 63:
            raise ValueError("number too long")
