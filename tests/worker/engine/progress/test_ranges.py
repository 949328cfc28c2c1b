"""Sets of offsets, against Python's own."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from worker.engine.progress.packing import get_ranges, put_ranges
from worker.engine.progress.ranges import Range, Ranges, below, from_on, of, union

offsets = st.sets(st.integers(0, 60), max_size=40)


def members(ranges: list[Range]) -> set[int]:
    return {offset for start, end in ranges for offset in range(start, end)}


@given(offsets, offsets, st.integers(0, 60))
def test_sets_of_ranges_are_sets(one: set[int], other: set[int], cut: int) -> None:
    """Union, cuts and membership are those of the offsets; ranges ascend and do not touch."""
    both = union([*of(one), *of(other)])

    assert members(both) == one | other
    assert all(before[1] < after[0] for before, after in pairwise(both))
    assert members(below(both, cut)) == {offset for offset in one | other if offset < cut}
    assert members(from_on(both, cut)) == {offset for offset in one | other if offset >= cut}
    assert {offset for offset in range(70) if offset in Ranges(both)} == one | other


@given(offsets, st.integers(0, 2**40))
def test_packed_ranges_come_back(some: set[int], start: int) -> None:
    """As runs or as a bitset, from any offset on."""
    ranges = [(start + first, start + end) for first, end in of(some)]
    packed = bytearray()
    put_ranges(packed, start, ranges)

    assert get_ranges(start, iter(packed)) == ranges
