from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from sqlalchemy import Engine

from dead_letter.store.parking import Key, Parked, Parking

NOW = 1_700_000_000.0
KEY = Key("hubspot", "contact/42")


@pytest.fixture
def parking(store_engine: Engine) -> Parking:
    return Parking(store_engine)


def park(parking: Parking, letter: str, *, key: Key = KEY, barred: bool = False, now: float = NOW) -> str:
    return parking.park(*key, letter, offset=7, barred=barred, now=now)[0]


def test_the_first_letter_parks_and_the_others_follow(parking: Parking) -> None:
    """Every later letter is told behind which one it waits, and is the newest."""
    first = [park(parking, "a"), park(parking, "b", now=NOW + 1), park(parking, "c", now=NOW + 2)]

    assert first == ["a", "a", "a"]
    assert parking.parked() == [Parked(*KEY, "a", 7, "c", barred=False, since=NOW)]


def test_the_oldest_is_listed_first(parking: Parking) -> None:
    """Of all connections or of one, by the moment at which they were parked."""
    for turn, connection in enumerate(("slack", "hubspot", "slack")):
        park(parking, "a", key=Key(connection, f"contact/{turn}"), now=NOW - turn)

    assert [one.record_key for one in parking.parked()] == ["contact/2", "contact/1", "contact/0"]
    assert [one.record_key for one in parking.parked("slack")] == ["contact/2", "contact/0"]


def test_find(parking: Parking) -> None:
    """Only the keys that are parked are found, of their own connection, however many are asked for."""
    park(parking, "a")
    asked = [Key("hubspot", f"contact/{number}") for number in range(1_200)]

    assert [*parking.find(asked)] == [KEY]
    assert parking.find([Key("slack", KEY.record_key)]) == {}


def test_closing_frees_when_nothing_was_diverted_since(parking: Parking) -> None:
    """The newest letter frees the key; the next event that dies parks it anew."""
    park(parking, "a")
    park(parking, "b")

    assert parking.close(*KEY, "b") is True
    assert parking.parked() == []
    assert park(parking, "c") == "c"


def test_closing_frees_nothing_when_something_was_diverted_since(parking: Parking) -> None:
    """A letter that came while the replay ran keeps the key parked."""
    park(parking, "a")
    park(parking, "b")

    assert parking.close(*KEY, "a") is False
    assert [one.last for one in parking.parked()] == ["b"]


def test_closing_a_key_that_is_not_parked(parking: Parking) -> None:
    """A second closing record changes nothing."""
    assert parking.close(*KEY, "a") is False
    assert parking.parked() == []


def test_the_bar_lasts_until_the_replay_is_closed(parking: Parking) -> None:
    """A replay that died again bars the key, a later ordinary letter does not lift that, a closing does."""
    park(parking, "a")
    park(parking, "a2", barred=True)
    park(parking, "b")
    barred = [one.barred for one in parking.parked()]
    parking.close(*KEY, "a")

    assert barred == [True]
    assert [one.barred for one in parking.parked()] == [False]


@pytest.mark.parametrize("key", ["x" * 1_024, "\U0001f4a5" * 1_024, "a/b/c", " ", "'; --"], ids=lambda key: key[:5])
def test_every_key_that_an_event_can_have(parking: Parking, key: str) -> None:
    """The longest and the strangest keys are parked, found and freed."""
    odd = Key("h" * 63, "o" * 255 + "/" + key)
    park(parking, "a", key=odd)

    assert [one.key for one in parking.parked()] == [odd]
    assert [*parking.find([odd])] == [odd]
    assert parking.close(*odd, "a") is True


def at_once(*work: Callable[[], object]) -> None:
    with ThreadPoolExecutor(len(work)) as threads:
        for future in [threads.submit(each) for each in work]:
            future.result()


def test_two_that_park_at_once(store_engine: Engine) -> None:
    """Two processes that park the same new key agree on the letter that did."""
    each = [Parking(store_engine), Parking(store_engine)]
    for turn in range(30):
        key = Key("hubspot", f"contact/{turn}")
        at_once(*(partial(park, parking, f"l{number}", key=key) for number, parking in enumerate(each)))
        told = [park(parking, "later", key=key) for parking in each]

        assert len(set(told)) == 1
        assert told[0] in {"l0", "l1"}


def test_park_and_close_at_once(store_engine: Engine) -> None:
    """Whoever is first: a letter that was diverted always finds its key parked afterwards."""
    first, second = Parking(store_engine), Parking(store_engine)
    for turn in range(30):
        key = Key("hubspot", f"contact/{turn}")
        park(first, "a", key=key)
        at_once(partial(park, first, "b", key=key), partial(second.close, *key, "a"))

        assert [one.last for one in first.find([key]).values()] == ["b"]
