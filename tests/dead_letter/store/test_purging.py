"""Letters that are done with leave the store, and nothing that somebody still needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from sqlalchemy import Engine, func, select

from dead_letter.errors import UnknownLetter
from dead_letter.letter.letter import Letter
from dead_letter.store.filters import EVERYTHING, Filter
from dead_letter.store.purging import Purging
from dead_letter.store.store import LetterStore
from dead_letter.store.tables import ACTIONS
from tests.dead_letter.samples import START, a_letter, an_event, arrivals, claimed, replayed

LATER = START + 1_000
"""When the purge is; everything in these tests ends at ``START`` or now."""
WENT = {"topic": "t", "partition": 0, "offset": 9}


def purge(
    engine: Engine, filters: Filter = EVERYTHING, *, before: float = LATER, there: Mapping[int, Any] | None = None
) -> tuple[dict[str, int], int]:
    """The plan, and how many went."""
    purging = Purging(engine, filters, before=before, there=there or {})
    return purging.plan(), sum(purging.run())


def filled(store: LetterStore, *letters: Letter) -> LetterStore:
    store.save_batch(arrivals(*letters))
    return store


def left(store: LetterStore) -> list[str]:
    return [letter.id for letter in store.in_order(Filter())]


def test_what_has_ended_goes_with_its_trail(store: LetterStore, store_engine: Engine) -> None:
    """Replayed and discarded letters; an open one stays however old it is."""
    sent, given_up, still_open = letters = [a_letter(number) for number in range(3)]
    filled(store, *letters)
    replayed(store, sent, WENT)
    store.discard([given_up.id], "old", who="ada", now=START)

    assert purge(store_engine) == ({"goes": 2}, 2)
    assert left(store) == [still_open.id]
    with store_engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(ACTIONS)) == 0


def test_what_was_touched_since_stays(store: LetterStore, store_engine: Engine) -> None:
    """It is the end that counts, and a note behind it, not the day on which the letter was written."""
    early, late, noted = letters = [a_letter(number) for number in range(3)]
    filled(store, *letters)
    store.discard([early.id, noted.id], "old", who="ada", now=START)
    store.discard([late.id], "old", who="ada", now=LATER)
    store.note(noted.id, "look again", who="ada", now=LATER)

    assert purge(store_engine) == ({"goes": 1, "young": 2}, 1)
    assert left(store) == [late.id, noted.id]


def test_filters_say_which(store: LetterStore, store_engine: Engine) -> None:
    """What they do not name stays, and is not counted."""
    one, other = letters = [a_letter(0), a_letter(1, verdict="exhausted")]
    filled(store, *letters)
    store.discard([one.id, other.id], "old", who="ada", now=START)

    assert purge(store_engine, Filter(verdict="exhausted")) == ({"goes": 1}, 1)
    assert left(store) == [one.id]


def test_what_the_topic_would_bring_back_stays(store: LetterStore, store_engine: Engine) -> None:
    """A letter that lies in the topic could come back as an open one; below its start and beyond its end none does."""
    letters = [a_letter(number) for number in range(4)]
    filled(store, *letters)
    store.discard([letter.id for letter in letters], "old", who="ada", now=START)

    assert purge(store_engine, there={0: (1, 3), 1: (0, 9)}) == ({"goes": 2, "in the topic": 2}, 2)
    assert left(store) == [letters[1].id, letters[2].id]


def test_what_a_parked_key_names_stays(store: LetterStore, store_engine: Engine) -> None:
    """The letter that parked it, and the last behind it."""
    first, middle, last, _ = letters = [a_letter(number, event=an_event(key="1")) for number in range(4)]
    filled(store, *letters)
    for letter in (first, middle, last):
        store.parking.park("hubspot", "contact/1", letter.id, offset=0, barred=False, now=START)
    store.discard([letter.id for letter in letters], "old", who="ada", now=START)

    assert purge(store_engine) == ({"goes": 2, "parked": 2}, 2)
    assert left(store) == [first.id, last.id]


def test_a_letter_stays_for_the_one_that_goes_on_with_its_event(store: LetterStore, store_engine: Engine) -> None:
    """While the last of the chain is open the first is needed for its turn; when it ends they go, the last first."""
    first = a_letter(0)
    second = a_letter(5, replay_of=first.id, replay_number=1)
    filled(store, first)
    replayed(store, first, WENT)
    store.save_batch(arrivals(second, start=1))
    before = purge(store_engine)
    store.discard([second.id], "enough", who="ada", now=START)
    after = purge(store_engine)

    assert before == ({"followed": 1}, 0)
    assert after == ({"goes": 1, "followed": 1}, 2)
    assert left(store) == []


def test_what_is_being_replayed_stays(store: LetterStore, store_engine: Engine) -> None:
    """Also when somebody has ended it meanwhile: the replay has yet to say what became of it."""
    letter = a_letter()
    filled(store, letter)
    claim = claimed(store)
    store.mark_replayed({letter.id: WENT}, epoch=claim.epoch, who="ada", now=START)
    held = purge(store_engine)
    store.claims.end(claim.epoch)

    assert held == ({"claimed": 1}, 0)
    assert purge(store_engine) == ({"goes": 1}, 1)


def test_what_was_planned_is_looked_at_again(store: LetterStore, store_engine: Engine) -> None:
    """Between the question and the answer somebody may have written a note."""
    letter = a_letter()
    filled(store, letter)
    store.discard([letter.id], "old", who="ada", now=START)
    purging = Purging(store_engine, EVERYTHING, before=LATER, there={})
    plan = purging.plan()
    store.note(letter.id, "wait", who="bob", now=LATER)

    assert plan == {"goes": 1}
    assert list(purging.run()) == []


@pytest.mark.parametrize("at_once", [1, 2, 1_000])
def test_many_go_in_parts(
    store: LetterStore, store_engine: Engine, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No transaction is long."""
    letters = [a_letter(number) for number in range(5)]
    filled(store, *letters)
    store.discard([letter.id for letter in letters], "old", who="ada", now=START)
    monkeypatch.setattr("dead_letter.store.purging.AT_ONCE", at_once)

    assert purge(store_engine) == ({"goes": 5}, 5)


def test_what_was_purged_takes_no_note_and_no_edit(store: LetterStore, store_engine: Engine) -> None:
    """Whoever looked at the letter before is told; nothing is left of it, the trail included."""
    [letter] = [a_letter()]
    filled(store, letter)
    store.discard([letter.id], "old", who="ada", now=START)
    purge(store_engine)

    with pytest.raises(UnknownLetter, match="was purged meanwhile"):
        store.note(letter.id, "too late", who="bob", now=LATER)
    with pytest.raises(UnknownLetter, match="was purged meanwhile"):
        store.edit(letter.id, None, seen=None, who="bob", now=LATER)
    assert store.trail(letter.id) == []
