"""Sets of offsets as ascending ranges ``[start, end)`` that do not touch."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence

Range = tuple[int, int]


class Ranges:
    """A set that does not change, asked one offset at a time."""

    def __init__(self, ranges: Sequence[Range]) -> None:
        self.ranges = ranges
        self._starts = [start for start, _ in ranges]

    def __contains__(self, offset: int) -> bool:
        place = bisect_right(self._starts, offset) - 1
        return place >= 0 and offset < self.ranges[place][1]

    def __bool__(self) -> bool:
        return bool(self.ranges)

    @property
    def end(self) -> int:
        """One above the highest offset; 0 when there is none."""
        return self.ranges[-1][1] if self.ranges else 0


def union(ranges: Iterable[Range]) -> list[Range]:
    """Any ranges, in any order, as one set."""
    joined: list[Range] = []
    for start, end in sorted(ranges):
        if start == end:
            continue
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return joined


def of(offsets: Iterable[int]) -> list[Range]:
    """Single offsets as a set."""
    return union((offset, offset + 1) for offset in offsets)


def below(ranges: Iterable[Range], end: int) -> list[Range]:
    """The part of a set that is below an offset."""
    return [(start, min(stop, end)) for start, stop in ranges if start < end]


def from_on(ranges: Iterable[Range], start: int) -> list[Range]:
    """The part of a set from an offset on."""
    return [(max(begin, start), stop) for begin, stop in ranges if stop > start]
