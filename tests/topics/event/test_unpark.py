from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from topics.errors import MalformedEvent
from topics.event import codec
from topics.event.event import Event, Operation
from topics.event.unpark import LETTER, NO_LETTER, TYPE, Unpark, encode_unpark, unpark_of
from topics.log import Headers, Partition, Record

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)
ID = b"0123456789abcdef01234567"


def written(key: bytes | None, value: bytes | None, headers: Headers) -> Record:
    return Record(Partition("writeback.events.hubspot", 0), 7, 1_000, key, value, headers)


@given(TEXT.filter(lambda name: "/" not in name and len(name) <= 255), TEXT, st.sampled_from([ID.decode(), NO_LETTER]))
def test_what_is_written_is_read(object_name: str, key: str, letter: str) -> None:
    """Any record key that an event can have comes back, slashes in it included."""
    unpark = Unpark(f"{object_name}/{key[:1_024]}", letter)

    assert unpark_of(written(*encode_unpark("hubspot", unpark))) == unpark


def test_it_goes_where_the_events_of_its_key_go() -> None:
    """Its key on the log is that of the events it follows."""
    event = Event(operation=Operation.UPDATE, connection="hubspot", object="contact", key="a/b")

    assert encode_unpark("hubspot", Unpark(event.record_key, ID.decode())).key == codec.encode(event).key


def test_nobody_takes_it_for_an_event() -> None:
    """A reader of events finds a type it does not know, and delivers nothing."""
    with pytest.raises(MalformedEvent, match=TYPE):
        codec.decode(written(*encode_unpark("hubspot", Unpark("contact/1", ID.decode()))))


def test_an_event_closes_nothing() -> None:
    """An ordinary event is not read as a closing record."""
    event = Event(operation=Operation.UPDATE, connection="hubspot", object="contact", key="1")

    assert unpark_of(written(*codec.encode(event))) is None


@pytest.mark.parametrize(
    ("key", "letter"),
    [
        (None, ID),
        (b"", ID),
        (b"no-slash", ID),
        (b"/no-object", ID),
        (b"contact/", ID),
        (b"contact/a\0b", ID),
        (b"contact/\xff", ID),
        (b"x" * 256 + b"/1", ID),
        (b"contact/" + b"x" * 1_025, ID),
        (b"contact/1", b""),
        (b"contact/1", None),
        (b"contact/1", b"\xff"),
        (b"contact/1", b"a\0"),
        (b"contact/1", b"x" * 65),
    ],
    ids=repr,
)
def test_a_hostile_one_closes_nothing(key: bytes | None, letter: bytes | None) -> None:
    """What no event and no letter of ours can be is not believed: it would reach the store and the worker's lanes."""
    headers = (("ce_type", TYPE.encode()), (LETTER, letter))

    assert unpark_of(written(key, b"{}", headers)) is None  # type: ignore[arg-type]
