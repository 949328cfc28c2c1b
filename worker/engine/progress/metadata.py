"""What the next owner of a partition must know, in the 4,096 bytes that a commit can carry.

``1`` + base64 of (deflated or not) varints: ``sent_to``, what is done beyond the watermark as runs or as a bitset
(whichever is shorter: one stuck record before 50,000 successes is a few bytes, ten thousand in random order are
1,250), the attempts of what is unfinished, for which of that a letter was announced, and which calls that cannot be
repeated are under way or about to begin.

The last two came later. A text ends where it has nothing more to say, and an older reader does not look behind what it
knows: it takes everything below ``sent_to``, which is above all that is announced, for announced. The caller ignores
metadata that is not ours, or of a later version that we cannot read, with a warning: the cost is a repetition, never a
loss.
"""

from __future__ import annotations

import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, chain, pairwise
from typing import Literal, get_args

from topics.log import METADATA_BUDGET
from worker.engine.progress.packing import (
    get,
    get_all,
    get_ascending,
    get_ranges,
    put,
    put_all,
    put_ascending,
    put_ranges,
)
from worker.engine.progress.ranges import Range, below, of, union

VERSION = "1"
CROWDED = METADATA_BUDGET * 3 // 4
"""Characters from which on no new records are taken from the partition."""
_DEFLATE_FROM = 128
LetterCause = Literal[
    "", "rejected", "exhausted", "unknown-outcome", "blocked", "malformed", "unknown-function", "unknown-connection"
]
_CAUSES: tuple[LetterCause, ...] = get_args(LetterCause)
"""By their code."""


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
    """What is known of the offsets from the watermark on.

    ``announced``: a call that cannot be repeated is under way or about to begin for these, and for nothing else that
    is not done and not in doubt; ``begun``: since when, in seconds since the epoch, where one was under way.
    """

    announced: Sequence[Range] = ()
    done: Sequence[Range] = ()
    tries: Mapping[int, Tries] = field(default_factory=dict)
    begun: Mapping[int, float] = field(default_factory=dict)


class ForeignMetadata(ValueError):
    """The commit carries metadata that this worker cannot read."""


def encode(watermark: int, memory: Memory) -> str:
    """At most ``METADATA_BUDGET`` characters: what does not fit is left out."""
    if not memory.done and not memory.tries and not memory.announced:
        return ""
    return next(text for text in (_pack(watermark, less) for less in _less_and_less(watermark, memory)) if _fits(text))


def decode(watermark: int, text: str) -> Memory:
    """Raises ``ForeignMetadata``."""
    if not text:
        return Memory()
    if text[0] != VERSION:
        raise ForeignMetadata(f"commit metadata of version {text[0]!r}; this worker reads {VERSION!r}")
    try:
        raw = b64decode(text[1:], validate=True)
        body = zlib.decompress(raw[1:]) if raw[0] else raw[1:]
        return _unpack(watermark, iter(body))
    except (ValueError, IndexError, StopIteration, RuntimeError, zlib.error) as error:
        # RuntimeError: what a generator makes of the StopIteration of a text that was cut off
        raise ForeignMetadata(f"commit metadata that cannot be read: {error!r}") from error


# -- what is left out when there is no room --------------------------------------------------------------------------


def _fits(text: str) -> bool:
    return len(text) <= METADATA_BUDGET


def _less_and_less(watermark: int, memory: Memory) -> Iterator[Memory]:
    """Shorter and shorter versions: without the times calls began, then fewer attempts, then none, then fewer offsets.

    Doubts that go with the attempts are announced instead. At last what is done is forgotten from above, and everything
    that may have been done or announced there is taken for announced.
    """
    yield memory
    if memory.begun:
        yield replace(memory, begun={})
    doubts = of(offset for offset, entry in memory.tries.items() if entry.doubt)
    memory = replace(memory, begun={}, announced=union([*memory.announced, *doubts]))
    letters = {
        offset: Tries(0, doubt=entry.doubt, letter_cause=entry.letter_cause)
        for offset, entry in memory.tries.items()
        if entry.letter_cause
    }
    if letters:
        yield replace(memory, tries=letters)
    yield replace(memory, tries={})
    ends = [watermark, *sorted(end for _, end in chain(memory.done, memory.announced))]
    kept = len(ends)
    while kept > 1:
        kept = kept * 3 // 4
        known = ends[kept - 1]
        announced = union([*below(memory.announced, known), (known, ends[-1])])
        yield Memory(announced, below(memory.done, known))


# -- the text ----------------------------------------------------------------------------------------------------------


def _pack(watermark: int, memory: Memory) -> str:
    tries = memory.tries
    out = bytearray()
    sent_to = max((end for _, end in memory.announced), default=watermark)
    put(out, max(0, sent_to - watermark))
    put_ranges(out, watermark, memory.done)
    base = int(min((t.first_at for t in tries.values() if t.first_at), default=0))
    put(out, base)
    put(out, len(tries))
    offsets = sorted(tries)
    entries = [tries[offset] for offset in offsets]
    put_ascending(out, watermark, offsets)
    put_all(out, (entry.spent << 1 | entry.doubt for entry in entries))
    put_all(out, (max(0, round(entry.first_at) - base) for entry in entries))
    put_all(out, (max(0, round(entry.due) - base) if entry.due else 0 for entry in entries))
    announced = memory.begun or list(memory.announced) not in ([], [(watermark, sent_to)])
    _put_causes(out, entries, more=bool(announced))
    if announced:
        _put_announced(out, watermark, memory)
    flag, body = 0, bytes(out)
    if len(body) >= _DEFLATE_FROM:
        deflated = zlib.compress(body, 1)
        if len(deflated) < len(body):
            flag, body = 1, deflated
    return VERSION + b64encode(bytes((flag,)) + body).decode()


def _put_causes(out: bytearray, entries: Sequence[Tries], *, more: bool) -> None:
    """Which entries, and their codes; nothing when there is none, unless ``more`` follows."""
    announced = [
        (place, _CAUSES.index(entry.letter_cause)) for place, entry in enumerate(entries) if entry.letter_cause
    ]
    if announced or more:
        put(out, len(announced))
        put_all(out, (place - before for before, place in pairwise([0, *(place for place, _ in announced)])))
        put_all(out, (code for _, code in announced))


def _put_announced(out: bytearray, watermark: int, memory: Memory) -> None:
    """Which offsets; of the calls under way the offset, and the seconds between the last one's beginning and theirs."""
    put_ranges(out, watermark, memory.announced)
    offsets = sorted(memory.begun)
    last = round(max(memory.begun.values(), default=0.0))
    put(out, len(offsets))
    put(out, last)
    put_ascending(out, watermark, offsets)
    put_all(out, (last - round(memory.begun[offset]) for offset in offsets))


def _unpack(watermark: int, source: Iterator[int]) -> Memory:
    sent_to = watermark + get(source)
    done = get_ranges(watermark, source)
    base = get(source)
    count = get(source)
    offsets = get_ascending(count, watermark, source)
    spents, firsts, dues = (get_all(count, source) for _ in range(3))
    causes = _get_causes(count, source)
    tries = {
        offset: Tries(
            spent >> 1,
            float(base + first) if base else 0.0,
            float(base + due) if due else 0.0,
            bool(spent & 1),
            letter_cause,
        )
        for offset, spent, first, due, letter_cause in zip(offsets, spents, firsts, dues, causes, strict=True)
    }
    announced, begun = _get_announced(watermark, sent_to, source)
    return Memory(announced, done, tries, begun)


def _get_causes(count: int, source: Iterator[int]) -> list[LetterCause]:
    causes: list[LetterCause] = [""] * count
    first = next(source, None)
    if first is None:
        return causes
    announced = get(chain((first,), source))
    places, codes = get_all(announced, source), get_all(announced, source)
    for place, code in zip(accumulate(places), codes, strict=True):
        known = code < len(_CAUSES)  # a later version's cause: a letter all the same
        causes[place] = _CAUSES[code] if known else "unknown-outcome"
    return causes


def _get_announced(watermark: int, sent_to: int, source: Iterator[int]) -> tuple[list[Range], dict[int, float]]:
    first = next(source, None)
    if first is None:
        return ([(watermark, sent_to)] if sent_to > watermark else []), {}
    announced = get_ranges(watermark, chain((first,), source))
    count, last = get(source), get(source)
    offsets, ago = get_ascending(count, watermark, source), get_all(count, source)
    return announced, {offset: float(last - seconds) for offset, seconds in zip(offsets, ago, strict=True)}
