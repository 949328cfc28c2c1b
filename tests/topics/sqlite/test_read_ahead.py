"""The shelf between the reading thread and the loop: whatever is paused, sought or dropped, nothing is skipped."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from topics.log import Partition, Record, Unreadable
from topics.sqlite.read_ahead import HAND_OUT_RECORDS, Assigned, Lost, Place, ReadAhead

ONE, TWO = Partition("t", 0), Partition("t", 1)


def records(partition: Partition, start: int, count: int) -> list[Record]:
    return [Record(partition, offset, 0, b"k", b"v") for offset in range(start, start + count)]


def shelf_of(*partitions: Partition) -> tuple[ReadAhead, list[Place]]:
    read_ahead = ReadAhead(lambda: None, lambda: None)
    places = [Place(number, partition, 0) for number, partition in enumerate(partitions)]
    read_ahead.assign(places, Assigned(dict.fromkeys(partitions), {}, 1))
    assert isinstance(read_ahead.take(), Assigned)
    return read_ahead, places


def read(read_ahead: ReadAhead, place: Place, count: int) -> bool:
    position, turn = read_ahead.begin_read(place)
    return read_ahead.hand_in(place, turn, records(place.partition, position, count))


def taken(read_ahead: ReadAhead) -> list[tuple[int, int]]:
    handed = read_ahead.take()
    assert isinstance(handed, list)
    return [(record.partition.number, record.offset) for record in handed]


def test_news_come_first() -> None:
    """An assignment and a loss are told before any record."""
    read_ahead, [one] = shelf_of(ONE)
    read(read_ahead, one, 2)
    read_ahead.lose([ONE])

    assert read_ahead.take() == Lost([ONE])
    assert taken(read_ahead) == []


def test_what_is_read_during_a_seek_is_void() -> None:
    """Records that were being read when the owner sought are not handed in."""
    read_ahead, [one] = shelf_of(ONE)
    position, turn = read_ahead.begin_read(one)
    read_ahead.seek(ONE, 7)

    assert not read_ahead.hand_in(one, turn, records(ONE, position, 3))
    assert read_ahead.begin_read(one)[0] == 7


def test_a_held_partition_is_freed_by_a_seek() -> None:
    """A partition that is held reads on after a seek."""
    read_ahead, [one] = shelf_of(ONE)
    assert read_ahead.hold(one, one.turn, Unreadable(ONE, 0, "gone"))
    assert read_ahead.take() == Unreadable(ONE, 0, "gone")
    assert not one.wanted

    read_ahead.seek(ONE, 3)

    assert one.wanted


def test_hand_out_goes_round() -> None:
    """A partition with a long backlog does not keep the others waiting for more than one hand-out."""
    read_ahead, [one, two] = shelf_of(ONE, TWO)
    read(read_ahead, one, HAND_OUT_RECORDS + 100)
    read(read_ahead, two, 10)

    first, second = taken(read_ahead), taken(read_ahead)

    assert {number for number, _ in first} == {0}
    assert [number for number, _ in second] == [1] * 10 + [0] * 100


def test_room_is_told_when_it_was_full() -> None:
    """The reading thread is woken when a full shelf was emptied, and only then."""
    woken: list[int] = []
    read_ahead = ReadAhead(lambda: None, lambda: woken.append(1))
    one = Place(0, ONE, 0)
    read_ahead.assign([one], Assigned({ONE: None}, {}, 1))
    read_ahead.take()
    read(read_ahead, one, 10)
    read_ahead.take()
    assert woken == []
    while read_ahead.has_room():
        read(read_ahead, one, 500)

    read_ahead.take()

    assert woken == [1]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("read"), st.integers(1, 5)),
        st.tuples(st.just("take"), st.just(0)),
        st.tuples(st.just("pause"), st.just(0)),
        st.tuples(st.just("resume"), st.just(0)),
        st.tuples(st.just("seek"), st.integers(0, 30)),
        st.tuples(st.just("slow read"), st.integers(1, 5)),
    ),
    max_size=60,
)


@settings(deadline=None)
@given(STEPS)
def test_nothing_skipped_nothing_repeated(steps: list[tuple[str, int]]) -> None:
    """Under any order of reads, pauses, seeks and hand-outs: the next record is always the next offset."""
    read_ahead, [one] = shelf_of(ONE)
    expected, begun = 0, read_ahead.begin_read(one)
    for step, number in steps:
        if step == "read" and one.wanted:
            read(read_ahead, one, number)
        elif step == "slow read":  # begun some steps ago
            read_ahead.hand_in(one, begun[1], records(ONE, begun[0], number) if begun[0] == one.position else [])
            begun = read_ahead.begin_read(one)
        elif step == "pause":
            read_ahead.pause([ONE])
            assert read_ahead._records == 0
        elif step == "resume":
            read_ahead.resume([ONE])
        elif step == "seek":
            read_ahead.seek(ONE, number)
            expected = number
        for _, offset in taken(read_ahead) if step == "take" else []:
            assert offset == expected
            expected += 1
    assert read_ahead._records == len(one.ahead)
    assert read_ahead._bytes == sum(record.size for record in one.ahead)
