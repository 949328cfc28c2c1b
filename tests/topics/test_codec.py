"""Events on the wire and back."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from topics.codec import Encoded, Stamp, decode, encode
from topics.errors import MalformedEvent
from topics.event import NO_OPTIONS, Event, Operation, Options, Replay
from topics.log import Headers, Partition, Record

TOPIC = Partition("writeback.events.hubspot", 0)

texts = st.text(min_size=1, max_size=40)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
events = st.builds(
    Event,
    operation=st.sampled_from(Operation),
    connection=st.just("hubspot"),
    object=texts.filter(lambda text: "/" not in text),
    key=st.none() | texts,
    fields=st.dictionaries(texts, values, max_size=5),
    options=st.sampled_from([NO_OPTIONS, Options(short=True, reply_to=3), Options(timeout_s=2.5, backfill=True)]),
    traceparent=st.none() | st.just("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    replay=st.none() | st.just(Replay(letter="abc", number=2)),
)


def record(encoded: Encoded) -> Record:
    return Record(TOPIC, 7, 1_700_000_000_000, encoded.key, encoded.value, encoded.headers)


def plain(value: bytes | None, headers: Headers = ()) -> Record:
    return Record(TOPIC, 7, 1_700_000_000_000, None, value, headers)


@given(events)
def test_round_trip(event: Event) -> None:
    """Whatever an event holds comes back from the wire."""
    assert decode(record(encode(event))) == event


@given(events)
def test_a_stamp_writes_what_encode_writes(event: Event) -> None:
    """The producer's quick way and the event's own give the same record."""
    bare = event.model_copy(update={"traceparent": None, "replay": None})
    stamp = Stamp(event.operation, event.connection, event.object, event.source, event.options)

    assert stamp.encode(event.id, event.time, event.key, event.fields) == encode(bare)


def test_plain_json_is_taken() -> None:
    """What a person types into kcat is an event; its place in the log is its id."""
    event = decode(plain(b'{"operation": "add", "object": "contact", "fields": {"email": "a@b.c"}}'))

    assert (event.id, event.connection, event.fields) == ("writeback.events.hubspot-0-7", "hubspot", {"email": "a@b.c"})


def test_structured_mode_is_taken() -> None:
    """A CloudEvent whose attributes are in the body."""
    body = (
        b'{"specversion": "1.0", "id": "1", "source": "s", "type": "writeback.update", "subject": "hubspot/deal/7",'
        b' "data": {"amount": 5}, "options": {"short": true}}'
    )

    event = decode(plain(body, (("content-type", b"application/cloudevents+json; charset=utf-8"),)))

    assert (event.operation, event.object, event.key, event.fields, event.options.short) == (
        "update", "deal", "7", {"amount": 5}, True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("value", "headers", "named"),
    [
        (None, (), "no value"),
        (b"", (), "not JSON"),
        (b"{", (), "not JSON"),
        (b'"text"', (), "a JSON str, not an object"),
        (b'{"operation": "add", "object": "x", "fields": {"n": NaN}}', (), "not JSON"),
        (b"\xff", (), "not JSON"),
        (b'{"object": "x"}', (), "operation"),
        (b'{"operation": "explode", "object": "x"}', (), "operation"),
        (b"{}", (("ce_specversion", b"0.3"),), "0.3"),
        (b"{}", (("ce_specversion", b"1.0"),), "ce_id"),
        (b"{}", (("x", b"\xff"),), "UTF-8"),
        (b"[" * 100_000, (), "not JSON"),
    ],
)
def test_what_is_no_event_says_why(value: bytes | None, headers: Headers, named: str) -> None:
    """Anything else is a MalformedEvent whose message names what is wrong."""
    with pytest.raises(MalformedEvent, match=named):
        decode(plain(value, headers))


@given(
    st.binary(max_size=200),
    st.lists(
        st.tuples(
            st.sampled_from(["ce_specversion", "ce_type", "ce_time", "ce_options", "content-type"]),
            st.binary(max_size=20),
        ),
        max_size=4,
    ),
)
def test_hostile_bytes_raise_nothing_else(value: bytes, headers: list[tuple[str, bytes]]) -> None:
    """No bytes whatever make decode raise anything but MalformedEvent."""
    outcome: Any
    try:
        outcome = decode(plain(value, tuple(headers)))
    except MalformedEvent as error:
        outcome = error

    assert isinstance(outcome, Event | MalformedEvent)
