"""Numbers and sets of offsets in few bytes: varints (LEB128), columns of them, and ranges as runs or as a bitset."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, islice, pairwise

from worker.engine.progress.ranges import Range

_RUNS, _BITS = 0, 1


def put(out: bytearray, number: int) -> None:
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)


def put_all(out: bytearray, numbers: Iterable[int]) -> None:
    """A column: what is alike stands together, so that it deflates."""
    for number in numbers:
        put(out, number)


def put_ascending(out: bytearray, start: int, numbers: Sequence[int]) -> None:
    """A column of ascending numbers from ``start`` on, each as its distance from the one before."""
    put_all(out, (number - before for before, number in pairwise([start, *numbers])))


def put_ranges(out: bytearray, start: int, ranges: Sequence[Range]) -> None:
    """A set of offsets at or above ``start``: as runs or as a bitset, whichever is shorter."""
    runs = bytearray()
    put(runs, len(ranges))
    ends = [start, *(end for _, end in ranges)]
    put_all(runs, (first - before for before, (first, _) in zip(ends, ranges, strict=False)))
    put_all(runs, (end - first for first, end in ranges))
    span = ends[-1] - start
    if len(runs) <= span // 8 + 4:
        out.append(_RUNS)
        out += runs
        return
    bits = 0
    for first, end in ranges:
        bits |= ((1 << (end - first)) - 1) << (first - start)
    out.append(_BITS)
    put(out, span)
    out += bits.to_bytes((span + 7) // 8, "little")


def get(source: Iterator[int]) -> int:
    """Raises ``StopIteration`` where the bytes end too early, and ``ValueError``."""
    number = shift = 0
    while True:
        byte = next(source)
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number
        shift += 7
        if shift > 63:
            raise ValueError("number too long")


def get_all(count: int, source: Iterator[int]) -> list[int]:
    numbers = []
    for _ in range(count):
        numbers.append(get(source))  # noqa: PERF401 - a generator would turn the end of the text into another error
    return numbers


def get_ascending(count: int, start: int, source: Iterator[int]) -> list[int]:
    return list(islice(accumulate(get_all(count, source), initial=start), 1, None))


def get_ranges(start: int, source: Iterator[int]) -> list[Range]:
    kind = next(source)
    if kind == _RUNS:
        return list(_runs(start, source))
    if kind == _BITS:
        span = get(source)
        bits = int.from_bytes(bytes(next(source) for _ in range((span + 7) // 8)), "little")
        return list(_runs_of(start, span, bits & ((1 << span) - 1)))
    raise ValueError(f"map of kind {kind}")


def _runs(start: int, source: Iterator[int]) -> Iterable[Range]:
    count = get(source)
    gaps, lengths = get_all(count, source), get_all(count, source)
    cursor = start
    for gap, length in zip(gaps, lengths, strict=True):
        first = cursor + gap
        cursor = first + length
        yield first, cursor


def _runs_of(start: int, span: int, bits: int) -> Iterable[Range]:
    digits = f"{bits:b}".rjust(span, "0")[::-1]
    first = digits.find("1")
    while first >= 0:
        end = digits.find("0", first)
        if end < 0:
            end = span
        yield start + first, start + end
        first = digits.find("1", end)
