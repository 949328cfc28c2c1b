"""What travels in a commit: round trip, budget, and what is not ours."""

from __future__ import annotations

import random
import zlib
from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from topics.log import METADATA_BUDGET
from worker.engine.progress.metadata import CROWDED, ForeignMetadata, LetterCause, Memory, Tries, decode, encode
from worker.engine.progress.packing import get
from worker.engine.progress.ranges import Range, union

EPOCH = 1_700_000_000
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A machine that is busy draws these memories slowly."""


@st.composite
def ranges(draw: st.DrawFn, watermark: int, longest: int = 40) -> list[Range]:
    """Ascending, with a gap before each: the watermark itself is never done."""
    made = []
    cursor = watermark
    for gap, length in draw(st.lists(st.tuples(st.integers(1, 300), st.integers(1, 300)), max_size=longest)):
        start = cursor + gap
        cursor = start + length
        made.append((start, cursor))
    return made


tries = st.builds(
    Tries,
    spent=st.integers(0, 1_000),
    first_at=st.integers(EPOCH, EPOCH + 90_000).map(float),
    due=st.one_of(st.just(0.0), st.integers(EPOCH + 90_000, EPOCH + 180_000).map(float)),
    doubt=st.booleans(),
    letter_cause=st.sampled_from(get_args(LetterCause)),
)


@st.composite
def memories(draw: st.DrawFn, most_tries: int = 30, longest: int = 40) -> tuple[int, Memory]:
    watermark = draw(st.integers(0, 2**40))
    done = draw(ranges(watermark, longest))
    places = st.integers(watermark, watermark + 100_000)
    tried = draw(st.dictionaries(places, tries, max_size=most_tries))
    announced = draw(ranges(watermark, longest // 4))
    moments = draw(st.lists(st.integers(EPOCH, EPOCH + 900).map(float), max_size=10))
    begun = {start: moment for (start, _), moment in zip(announced, moments, strict=False)}
    return watermark, Memory(announced, done, tried, begun)


@PATIENT
@given(memories())
def test_round_trip(given_: tuple[int, Memory]) -> None:
    """Whatever fits comes back as it was: what is announced and since when, what is done, what was tried."""
    watermark, memory = given_

    back = decode(watermark, encode(watermark, memory))

    assert (list(back.announced), list(back.done)) == (memory.announced, memory.done)
    assert (back.tries, back.begun) == (memory.tries, memory.begun)


@PATIENT
@given(memories(most_tries=2_000, longest=2_000))
def test_never_over_budget(given_: tuple[int, Memory]) -> None:
    """Any memory makes a text that fits; nothing is invented, and whatever may have been sent is suspected."""
    watermark, memory = given_

    text = encode(watermark, memory)
    back = decode(watermark, text)

    assert len(text) <= METADATA_BUDGET
    letters = {
        o: Tries(0, doubt=t.doubt, letter_cause=t.letter_cause) for o, t in memory.tries.items() if t.letter_cause
    }
    assert back.tries in ({}, letters, memory.tries)
    assert back.begun in ({}, memory.begun)
    doubts = [(o, o + 1) for o, t in memory.tries.items() if t.doubt and o not in back.tries]
    assert within(back.done, memory.done)
    assert within([*memory.announced, *doubts], back.announced)
    assert within(memory.done, [*back.done, *back.announced])


def within(these: Sequence[Range], those: Sequence[Range]) -> bool:
    return union([*these, *those]) == union(those)


def sent_to(watermark: int, text: str) -> int:
    """What the first version's reader takes for the end of what may have been sent."""
    raw = b64decode(text[1:])
    return watermark + get(iter(zlib.decompress(raw[1:]) if raw[0] else raw[1:]))


@PATIENT
@given(memories())
def test_an_older_reader_suspects_no_less(given_: tuple[int, Memory]) -> None:
    """It knows one mark only, below which everything may have been sent; it does not look behind the rest."""
    watermark, memory = given_
    text = encode(watermark, memory)

    ends = [end for _, end in memory.announced]
    assert (sent_to(watermark, text) if text else watermark) == max([watermark, *ends])


def test_a_text_of_before_the_set_is_read() -> None:
    """Everything below its mark is under suspicion, as it was then; the rest is as it was."""
    assert decode(0, "1AAUAAAAA") == Memory([(0, 5)], [])
    tried = {103: Tries(2, EPOCH, EPOCH + 60, doubt=True, letter_cause="rejected")}
    assert decode(100, "1AAYBBiKA4s+qBgEDBQA8AQAB") == Memory([(100, 106)], [(101, 102), (105, 106)], tried)


def test_one_range_from_the_watermark_on_is_said_as_before() -> None:
    """Nothing is added to a text that says all of it by its mark."""
    assert encode(0, Memory([(0, 5)])) == "1AAUAAAAA"


def test_two_windows_of_a_large_connection_fit() -> None:
    """256 at once: 512 calls announced among ten thousand records in random order, and since when, stay below 75 %."""
    dice = random.Random(2)
    calls = sorted(dice.sample(range(10_000), 512))
    begun = {offset: float(EPOCH + dice.randrange(3)) for offset in calls[:256]}
    memory = Memory(union((offset, offset + 1) for offset in calls), [], {}, begun)

    text = encode(0, memory)

    assert len(text) < CROWDED
    assert decode(0, text) == memory


def test_the_worst_memory_is_cut_from_above() -> None:
    """Ten thousand scattered runs and attempts: the lowest runs, which the next owner meets first, are kept."""
    dice = random.Random(7)
    done, cursor = [], 0
    for _ in range(10_000):
        start = cursor + dice.randrange(1, 900)
        cursor = start + dice.randrange(1, 900)
        done.append((start, cursor))
    memory = Memory([(0, cursor)], done, {offset: Tries(3, EPOCH, EPOCH + 60) for offset in range(0, 50_000, 7)})

    text = encode(0, memory)
    back = decode(0, text)

    assert len(text) <= METADATA_BUDGET
    assert 500 < len(back.done) < 10_000
    assert list(back.done) == done[: len(back.done)]


def test_nothing_to_say_costs_nothing() -> None:
    """In order and at rest a commit carries no metadata at all."""
    assert encode(17, Memory()) == ""
    assert decode(17, "") == Memory()


def test_a_hundred_waiting_records_over_a_million_offsets() -> None:
    """A hundred records that wait for their retry, while a million others went through, are under 1 kB."""
    dice = random.Random(1)
    waiting = sorted(dice.sample(range(1, 1_000_000), 100))
    waiting[0] = 0
    done = [(low + 1, high) for low, high in zip(waiting, [*waiting[1:], 1_000_000], strict=True) if low + 1 < high]
    tried = {offset: Tries(4, EPOCH + dice.randrange(60), EPOCH + 100 + dice.randrange(60)) for offset in waiting}

    text = encode(0, Memory([], done, tried))

    assert len(text) < 1_000
    assert decode(0, text) == Memory([], done, tried)


def test_one_stuck_record_before_many() -> None:
    """One record at the watermark and 50,000 done behind it are a few bytes."""
    text = encode(0, Memory([(0, 50_001)], [(1, 50_001)], {0: Tries(2, EPOCH, EPOCH + 9)}))

    assert len(text) < 40


def test_random_order_is_a_bitset() -> None:
    """Ten thousand done in random order fit well below the mark from which no new records are taken."""
    dice = random.Random(3)
    offsets = [offset for offset in range(1, 10_000) if dice.random() < 0.5]
    done: list[Range] = []
    for offset in offsets:
        if done and done[-1][1] == offset:
            done[-1] = (done[-1][0], offset + 1)
        else:
            done.append((offset, offset + 1))

    text = encode(0, Memory((), done))

    assert len(text) < CROWDED
    assert list(decode(0, text).done) == done


@pytest.mark.parametrize(
    "text",
    [
        "2AAAA",
        "0",
        "flink:12",
        '{"offset": 3}',
        "1",
        "1=",
        "1not base64!",
        "1\N{SNOWMAN}",
        "\N{SNOWMAN}",
        "1" + b64encode(b"\x01not deflated").decode(),
        "1" + b64encode(b"\x00\x05\x07").decode(),  # a map of an unknown kind
        "1" + b64encode(b"\x00" + b"\xff" * 40).decode(),  # a number without an end
        "1" + b64encode(b"\x00\x00\x01\xff\xff\xff\xff\xff\xff\x7f\x01").decode(),  # a bitset larger than the world
    ],
)
def test_what_is_not_ours_is_foreign(text: str) -> None:
    """Another tool's metadata, a later version's, and garbage are told apart from ours, each with a reason."""
    with pytest.raises(ForeignMetadata, match="commit metadata"):
        decode(0, text)


def test_an_announced_letter_is_kept_before_attempts() -> None:
    """Thousands of attempts do not fit; that a letter may be written already does, and outlives them."""
    dice = random.Random(9)
    tried = {offset: Tries(dice.randrange(90), EPOCH + dice.randrange(9_000), EPOCH + 9_000) for offset in range(3_000)}
    tried |= {offset: Tries(3, EPOCH, doubt=offset % 2 == 0, letter_cause="rejected") for offset in range(0, 3_000, 30)}

    back = decode(0, encode(0, Memory(tries=tried)))

    assert back.tries == {o: Tries(0, doubt=o % 2 == 0, letter_cause="rejected") for o in range(0, 3_000, 30)}


def test_a_text_of_before_the_causes_is_read() -> None:
    """Written by the first version: one event was tried twice, in doubt, another three times."""
    memory = decode(7, "1AAUAAIDiz6oGAgMBBQYAADwA")

    assert memory.tries == {10: Tries(2, EPOCH, EPOCH + 60, doubt=True), 11: Tries(3, EPOCH)}


def test_a_cause_that_a_later_version_adds_is_one_too() -> None:
    """Its verdict is not known here; that nobody must call any more is."""
    body = bytes((0, 0, 0, 0, 0, 1, 5, 2, 0, 0, 1, 0, 99))

    memory = decode(0, "1" + b64encode(body).decode())

    assert memory.tries == {5: Tries(1, letter_cause="unknown-outcome")}


def test_bits_beyond_a_bitset_are_no_offsets() -> None:
    """A text that somebody has damaged: its last byte has more bits than the set."""
    body = bytes((0, 1, 3, 0xFF, 0, 0))

    assert decode(5, "1" + b64encode(b"\x00" + body).decode()) == Memory([], [(5, 8)])


def test_a_later_version_is_named() -> None:
    """The warning says which version it met and which one it reads."""
    with pytest.raises(ForeignMetadata, match="version '2'; this worker reads '1'"):
        decode(5, "2xyz")


@PATIENT
@given(memories(), st.data())
def test_what_was_cut_off_is_foreign_or_less(given_: tuple[int, Memory], data: st.DataObject) -> None:
    """A truncated text never raises anything else."""
    watermark, memory = given_
    text = encode(watermark, memory)
    cut = text[: data.draw(st.integers(0, len(text)))]

    try:
        decode(watermark, cut)
    except ForeignMetadata as error:
        assert str(error)  # noqa: PT017 - both ends are allowed


@given(st.binary(max_size=300), st.booleans())
def test_random_bytes_are_foreign_or_a_memory(body: bytes, deflated: bool) -> None:
    """No text whatever ends the worker."""
    raw = b"\x01" + zlib.compress(body) if deflated else b"\x00" + body

    try:
        memory = decode(3, "1" + b64encode(raw).decode())
    except ForeignMetadata as error:
        assert str(error)  # noqa: PT017 - both ends are allowed
    else:
        assert all(start >= 3 for start, _ in [*memory.announced, *memory.done])
