from __future__ import annotations

import random
from dataclasses import replace

import pytest

from dead_letter.replay.lineage import Lineage, key_of, lineage, lineage_of_keys
from dead_letter.store.parking import Key
from dead_letter.store.rows import Summary
from dead_letter.store.store import LetterStore
from tests.dead_letter.samples import a_letter, a_record, an_event, arrivals
from topics.log import Partition, Record

KEY = Key("hubspot", "contact/7")


def summary(offset: int, replay_of: str | None = None, *, key: str = "7", **changes: object) -> Summary:
    letter = a_letter(offset, event=an_event(key=key), id=f"l{offset}", replay_of=replay_of)
    store_row = {"row": offset, "replays": 0, "record_hash": key, "attempts": 1, "state": "open"}
    said = {
        name: store_row.get(name, getattr(letter, name, None))
        for name in Summary.__dataclass_fields__
        if name not in {"topic", "partition", "offset"}
    }
    place = {"topic": letter.record.partition.topic, "partition": 0, "offset": offset}
    return Summary(**{**said, **place, **changes})  # type: ignore[arg-type]


def test_a_letter_of_a_replay_keeps_the_turn_of_its_event() -> None:
    """However often it was replayed and died again, it stands where its event lay first."""
    first, other = summary(10), summary(11)
    again, third = summary(20, "l10"), summary(31, "l20")
    letters = [other, third, again, first]
    kin = Lineage(letters)

    assert [kin.first_offset(letter) for letter in letters] == [11, 10, 10, 10]
    assert [letter.id for letter in sorted(letters, key=kin.turn)] == ["l10", "l20", "l31", "l11"]
    assert [letter.id for letter in letters if kin.goes_on(letter)] == ["l20", "l10"]


@pytest.mark.parametrize("changes", [{"key": "8"}, {"partition": 1}, {"topic": "writeback.events.slack"}])
def test_an_event_that_an_edit_moved_begins_anew(changes: dict[str, object]) -> None:
    """Offsets of another place say nothing about the turn among the events of its new record."""
    moved = summary(20, "l10", **changes)  # type: ignore[arg-type]

    assert Lineage([summary(10), moved]).first_offset(moved) == 20


def test_a_letter_whose_forerunner_is_not_known() -> None:
    """A store that has lost the first letter orders by what it has."""
    assert Lineage([again := summary(20, "l10")]).first_offset(again) == 20


def test_letters_that_name_each_other() -> None:
    """A forged circle ends the search, whoever is asked first."""
    letters = [summary(1, "l2"), summary(2, "l1"), summary(3, "l3")]
    random.Random(1).shuffle(letters)

    assert {Lineage(letters).first_offset(letter) for letter in letters} <= {1, 2, 3}


def test_a_long_story() -> None:
    """Thousands of replays of one event are no deeper than one."""
    letters = [summary(0), *(summary(turn, f"l{turn - 1}") for turn in range(1, 5_000))]

    assert {Lineage(letters).first_offset(letter) for letter in letters[-3:]} == {0}


def test_the_letters_of_a_key(store: LetterStore) -> None:
    """All of the record and of no other, also when only the key is known."""
    letters = [a_letter(offset, event=an_event(key="7")) for offset in (3, 1)]
    others = [a_letter(5, event=an_event(key="8")), a_letter(6, event=an_event(key=None))]
    stranger = a_letter(record=replace(a_record(2, an_event(key="7")), partition=Partition("orders", 0)))
    store.save_batch(arrivals(*letters, *others, stranger))

    assert [letter.offset for letter in lineage_of_keys(store, [KEY]).of_key(KEY)] == [1, 3]
    [mine] = [letter for letter in store.list() if letter.offset == 3]
    assert [letter.offset for letter in lineage(store, [mine]).queue(mine)] == [1, 3]


@pytest.mark.parametrize(
    ("record", "key"),
    [
        (a_record(0, an_event(key="a/b")), Key("hubspot", "contact/a/b")),
        (a_record(0, an_event(key=None)), None),
        (Record(Partition("orders", 0), 0, 0, b"k", b"v"), None),
    ],
)
def test_the_key_that_a_worker_would_park(store: LetterStore, record: Record, key: Key | None) -> None:
    """Object and key of the original event; without a key, or on a topic of others, there is none."""
    event = an_event(key="a/b" if key else None)
    store.save(a_letter(event=event, record=record))

    assert key_of(store.list()[0]) == key
