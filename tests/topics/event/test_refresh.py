from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from topics.errors import MalformedEvent
from topics.event.event import Replay
from topics.event.refresh import OwnWrites, RefreshRequest, decode, encode
from topics.log import Headers, Partition, Record


def a_record(key: bytes | None, value: bytes | None, headers: Headers = ()) -> Record:
    return Record(Partition("writeback.refresh", 3), 41, 1_700_000_000_000, key, value, headers)


WHOLE = RefreshRequest(
    connection="hubspot",
    objects=("deal", "contact", "deal"),
    full=True,
    after={0: OwnWrites(first=3, last=9), 1: OwnWrites(first=0, last=0)},
    reply_to=5,
    source="pq:sync.py",
    replay=Replay(letter="abc", number=2),
)


def test_there_and_back() -> None:
    """A request reads as it was written; its record's key is the connection, so that one refresher has them all."""
    encoded = encode(WHOLE)
    assert encoded.key == b"hubspot"
    assert decode(a_record(*encoded)) == WHOLE
    assert WHOLE.objects == ("contact", "deal")


def test_everything_by_default() -> None:
    """What says nothing asks for everything, waits for nothing and tells nobody."""
    plain = RefreshRequest(connection="hubspot")
    encoded = encode(plain)
    assert encoded.value == b"{}"
    assert decode(a_record(*encoded)) == plain
    assert (plain.objects, plain.full, plain.after, plain.reply_to) == (None, False, {}, None)


@pytest.mark.parametrize("value", [None, b"", b"{}"])
def test_only_a_key(value: bytes | None) -> None:
    """A key typed into kcat asks for everything of that connection, under the same id whenever it is read."""
    request = decode(a_record(b"hubspot", value))
    assert (request.connection, request.objects, request.source) == ("hubspot", None, "plain-json")
    assert request.id == decode(a_record(b"hubspot", value)).id == "writeback.refresh-3-41-1700000000000"


def test_plain_json() -> None:
    """Plain JSON needs no headers; what it says goes before the key."""
    request = decode(a_record(b"x", b'{"connection": "shop", "objects": ["order"], "reply_to": 1, "tomorrow": 0}'))
    assert (request.connection, request.objects, request.reply_to) == ("shop", ("order",), 1)


def test_structured() -> None:
    """The same event in structured mode."""
    value = (
        b'{"specversion": "1.0", "id": "1", "source": "x", "type": "writeback.refresh", "subject": "hubspot",'
        b' "options": {"reply_to": 2}, "data": {"objects": ["contact"]}}'
    )
    request = decode(a_record(None, value, (("content-type", b"application/cloudevents+json"),)))
    assert (request.id, request.connection, request.objects, request.reply_to) == ("1", "hubspot", ("contact",), 2)


@pytest.mark.parametrize(
    ("key", "value", "headers", "named"),
    [
        (None, b"{}", (), "connection"),
        (b"hubspot", b"[]", (), "not an object"),
        (b"hubspot", b"{", (), "not JSON"),
        (b"hubspot", b'{"objects": []}', (), "objects"),
        (b"hubspot", b'{"objects": "contact"}', (), "objects"),
        (b"hubspot", b'{"after": {"0": {"first": 4, "last": 3}}}', (), "after"),
        (b"hubspot", b"{}", (("ce_type", b"writeback.add"),), "ce_type"),
        (b"hubspot", b"{}", (("ce_type", b"writeback.refresh"),), "id"),
        (b"hubspot", b"{}", (("ce_type", b"\xff"),), "UTF-8"),
    ],
)
def test_malformed(key: bytes | None, value: bytes, headers: Any, named: str) -> None:
    """What is no request is said to be none, with the name of what is wrong."""
    with pytest.raises(MalformedEvent, match=named):
        decode(a_record(key, value, headers))


@given(st.binary(max_size=64), st.binary(max_size=64), st.lists(st.tuples(st.text(max_size=9), st.binary(max_size=9))))
def test_any_bytes(key: bytes, value: bytes, headers: list[tuple[str, bytes]]) -> None:
    """Any record is a request or malformed, and never anything else."""
    with suppress(MalformedEvent):
        assert decode(a_record(key, value, tuple(headers))).connection
