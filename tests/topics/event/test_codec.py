"""Events on the wire and back."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from topics.errors import MalformedEvent
from topics.event.codec import Encoded, Stamp, decode, encode
from topics.event.event import NO_OPTIONS, Event, Operation, Options, Replay, now, now_text
from topics.log import Headers, Partition, Record
from topics.log.headers import PackedHeaders

TOPIC = Partition("writeback.events.hubspot", 0)

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=40)
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


@settings(deadline=None)
@given(events)
def test_round_trip(event: Event) -> None:
    """Whatever an event holds comes back from the wire."""
    assert decode(record(encode(event))) == event


@settings(deadline=None)
@given(events)
def test_a_stamp_writes_what_encode_writes(event: Event) -> None:
    """The producer's quick way and the event's own give the same record."""
    bare = event.model_copy(update={"traceparent": None, "replay": None})
    stamp = Stamp(event.operation, event.connection, event.object, event.source, event.options)

    assert stamp.encode(event.id, event.time, event.key, event.fields) == encode(bare)


def test_plain_json_is_taken() -> None:
    """What a person types into kcat is an event; its place and time in the log are its id."""
    event = decode(plain(b'{"operation": "add", "object": "contact", "fields": {"email": "a@b.c"}}'))

    assert (event.id, event.connection) == ("writeback.events.hubspot-0-7-1700000000000", "hubspot")
    assert event.fields == {"email": "a@b.c"}


def test_a_topic_made_anew_uses_no_id_twice() -> None:
    """The same offset at another time is another event: a vendor with idempotency keys must not drop it."""
    first = plain(b'{"operation": "add", "object": "contact", "fields": {}}')
    later = replace(first, timestamp_ms=first.timestamp_ms + 1)

    assert decode(first).id != decode(later).id


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


def test_what_is_null_is_absent() -> None:
    """A header, an attribute of a structured CloudEvent, a member of a plain object: as if it was not there."""
    nulls = bytes([6, 14]) + b"ce_time\x01" + bytes([22]) + b"traceparent\x01" + bytes([20]) + b"ce_options\x01"
    body = {"operation": "add", "object": "contact", "fields": {"fax": None}}
    members = ("id", "connection", "key", "time", "source", "options", "traceparent", "replay")

    assert decode(plain(json.dumps(body | dict.fromkeys(members)).encode(), PackedHeaders(nulls))) == decode(
        plain(json.dumps(body).encode())
    )
    written = decode(binary(b"{}", *PackedHeaders(nulls)))
    assert (written.options, written.traceparent) == (NO_OPTIONS, None)
    assert decode(structured(time=None, traceparent=None, options=None)).options == NO_OPTIONS


@pytest.mark.parametrize(
    ("value", "headers", "named"),
    [
        (None, (), "no value"),
        (b"", (), "not JSON"),
        (b"{", (), "not JSON"),
        (b'"text"', (), "a JSON string, not an object"),
        (b'{"operation": "add", "object": "x", "fields": {"n": NaN}}', (), "not JSON"),
        (b"\xff", (), "not JSON"),
        (b'{"object": "x"}', (), "operation"),
        (b'{"operation": "explode", "object": "x"}', (), "operation"),
        (b"{}", (("ce_id", b"\xff"),), "ce_id is not UTF-8"),
        (b"[" * 100_000, (), "not JSON"),
    ],
)
def test_what_is_no_event_says_why(value: bytes | None, headers: Headers, named: str) -> None:
    """Anything else is a MalformedEvent whose message names what is wrong."""
    with pytest.raises(MalformedEvent, match=named):
        decode(plain(value, headers))


ATTRIBUTES: dict[str, bytes] = {
    "ce_specversion": b"1.0",
    "ce_id": b"1",
    "ce_source": b"warehouse",
    "ce_type": b"writeback.add",
    "ce_subject": b"hubspot/contact/7",
    "content-type": b"application/json",
}


def binary(value: bytes = b"{}", *more: tuple[str, bytes], **attributes: bytes | None) -> Record:
    headers = {**ATTRIBUTES, **attributes}
    return plain(value, (*((name, item) for name, item in headers.items() if item is not None), *more))


def structured(**attributes: Any) -> Record:
    body = {"specversion": "1.0", "id": "1", "source": "s", "type": "writeback.add", "subject": "hubspot/contact/7"}
    headers = (("content-type", b"application/cloudevents+json"),)
    return plain(json.dumps({**body, "data": {}, **attributes}).encode(), headers)


@pytest.mark.parametrize(
    ("malformed", "words"),
    [
        (binary(ce_specversion=None), "ce_specversion is missing"),
        (binary(ce_specversion=b"0.3"), "ce_specversion is '0.3'; this reads 1.0"),
        (binary(ce_id=None), "ce_id is missing"),
        (binary(ce_id=b""), "ce_id is missing"),
        (binary(ce_id=b"a\x00b"), "id: "),
        (binary(ce_id=b"a\r\nCookie: b"), "id: "),
        (binary(ce_id=b"i" * 257), "id: String should have at most 256"),
        (binary(ce_source=None), "ce_source is missing"),
        (binary(ce_type=None), "ce_type is missing"),
        (binary(ce_type=b"add"), "ce_type is 'add'; it is one of writeback.add, writeback.update"),
        (binary(ce_type=b"writeback.explode"), "ce_type is 'writeback.explode'"),
        (binary(ce_type=b"writeback." + b"x" * 10_000), r"x\.\.\.'; it is one of"),
        (binary(ce_subject=None), "ce_subject is missing"),
        (binary(ce_subject=b"hubspot"), "ce_subject is 'hubspot'; it is <connection>/<object>"),
        (binary(ce_subject=b"/contact/7"), "ce_subject is '/contact/7'"),
        (binary(ce_subject=b"hubspot//7"), "ce_subject is 'hubspot//7'"),
        (binary(ce_subject=b"hubspot/contact/\x00"), "key: "),
        (binary(ce_subject=b"hubspot/" + b"o" * 256), "object: String should have at most 255"),
        (binary(ce_subject=b"c" * 64 + b"/contact"), "connection: String should have at most 63"),
        (binary(ce_subject=b"hubspot/contact/\xff"), "ce_subject is not UTF-8"),
        (binary(ce_subject=b"hubspot/contact/\xed\xa0\x80"), "ce_subject is not UTF-8"),
        (binary(ce_time=b"yesterday"), "time: "),
        (binary(ce_time=b""), "time: "),
        (binary(ce_time=b"2026-02-30T00:00:00Z"), "time: "),
        (binary(ce_time=b"99999999999999999999"), "time: "),
        (binary(ce_options=b""), "ce_options: the whole: Invalid JSON"),
        (binary(ce_options=b"[]"), "ce_options: the whole: Input should be an object"),
        (binary(ce_options=b'{"timeout_s": 0}'), "ce_options: timeout_s: Input should be greater than 0"),
        (binary(ce_options=b'{"timeout_s": 1e999}'), "ce_options: timeout_s: "),
        (binary(ce_options=b'{"reply_to": -1}'), "ce_options: reply_to: "),
        (binary(ce_options=b'{"idempotency_key": "a\\nb"}'), "ce_options: idempotency_key: "),
        (binary(ce_options=b"[" * 10_000), "ce_options: the whole: Invalid JSON: recursion limit"),
        (binary(b'{"n": 1e999}'), "a number beyond what a double takes"),
        (binary(b'{"n": [{"m": -1E+0400}]}'), "a number beyond what a double takes"),
        (binary(b'{"n": ' + b"9" * 400 + b".0}"), "a number beyond what a double takes"),
        (binary(b'{"n": ' + b"9" * 5_000 + b"}"), "the value is not JSON: number out of range"),
        (binary(b'{"n": Infinity}'), "the value is not JSON"),
        (binary(b'{"t": "\\ud800"}'), "the value is not JSON"),
        (binary(b'{"t": "\xff"}'), "the value is not JSON"),
        (binary(b'{"a":' * 5_000 + b"1" + b"}" * 5_000), "the value is not JSON: recursion limit"),
        (binary(b"\x08\x96\x01"), "the value is not JSON"),
        (binary(b"null"), "the value is null, not an object"),
        (binary(b"{}", ("writeback-replay-letter", b"l"), ("writeback-replay-number", b"x")), "replay.*number: "),
        (binary(b"{}", ("writeback-replay-letter", b"l"), ("writeback-replay-number", b"9" * 5_000)), "replay"),
        (binary(b"{}", ("writeback-replay-letter", b"")), "replay.*letter: "),
        (structured(specversion=None), "ce_specversion is missing"),
        (structured(specversion=1.0), "specversion is a JSON number, not a string"),
        (structured(id=7), "id is a JSON number, not a string"),
        (structured(subject=["hubspot"]), "subject is a JSON list, not a string"),
        (structured(data=None), "data: "),
        (structured(data=[1]), "data: "),
        (structured(data_base64="AAAA", data=None), "data: "),
        (structured(options=7), "ce_options: "),
        (plain(b"[]", (("content-type", b"application/cloudevents-batch+json"),)), "batch"),
        (plain(b"[]", (("content-type", b"application/cloudevents+json"),)), "a JSON list, not an object"),
        (plain(b'{"operation": "add", "object": "a/b"}'), "object: "),
        (plain(b'{"operation": "add", "object": "x", "fields": [1]}'), "fields: "),
        (plain(b'{"operation": "add", "object": "x", "key": 7}'), "key: "),
        (plain(b'{"operation": "add", "object": "x", "replay": 7}'), "replay: "),
        (Record(TOPIC, 0, 10**18, None, b'{"operation": "add", "object": "x"}'), "timestamp 10+ is no time"),
        (Record(Partition("other", 0), 0, 0, None, b'{"operation": "add", "object": "x"}'), "connection: "),
    ],
)
def test_malformed(malformed: Record, words: str) -> None:
    """Each way to be no event has its words, on one short line."""
    with pytest.raises(MalformedEvent, match=words) as raised:
        decode(malformed)

    assert len(str(raised.value)) < 400
    assert str(raised.value).isprintable()


@pytest.mark.parametrize(
    "accepted",
    [
        binary(b"{}", ("dd-pathway-ctx", b"\xff\xfe\x00"), ("uber-trace-id", b"\x00")),
        binary(b"{}", ("traceparent", b"nonsense\r\nX: y")),
        binary(ce_schemaversion=b"99", ce_unknown=b"x"),
        binary(ce_options=b'{"from_the_future": 1}'),
        binary(b'{"text": "1e999 and NaN and Infinity"}'),
        binary(b'{"n": 1e308, "m": 1e-999}'),
        structured(extension=7, more=True),
    ],
)
def test_accepted(accepted: Record) -> None:
    """What an event is not read from, and what a later release may add, stops nothing."""
    assert decode(accepted).traceparent is None


def test_names_of_headers_in_any_case() -> None:
    """Header names count in any case; of a double one the last counts, as Kafka's clients have it."""
    headers = tuple((name.upper(), value) for name, value in ATTRIBUTES.items())

    assert decode(plain(b"{}", (*headers, ("ce_id", b"2")))).id == "2"


def test_key_with_slashes() -> None:
    """The subject is split at its first two slashes: the key keeps its own, and may be left out."""
    assert decode(binary(ce_subject=b"hubspot/contact/a/b//c")).key == "a/b//c"
    assert decode(binary(ce_subject=b"hubspot/contact")).key is None
    assert decode(binary(ce_subject=b"hubspot/contact/")).key is None


@pytest.mark.parametrize("time", [b"2026-01-02T03:04:05", b"2026-01-02T03:04:05Z", b"2026-01-02T05:04:05+02:00"])
def test_time_has_a_zone(time: bytes) -> None:
    """A time without a zone is UTC, so that all times can be compared."""
    assert decode(binary(ce_time=time)).time == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_a_redelivery_is_the_same_event() -> None:
    """Plain JSON without id and time is the same event each time it is read."""
    record = plain(b'{"operation": "add", "object": "contact"}')

    assert decode(record) == decode(record)
    assert decode(record).time == datetime.fromtimestamp(1_700_000_000, UTC)


@settings(deadline=None)
@given(events)
def test_structured_mode_round_trip(event: Event) -> None:
    """An event that another CloudEvents library writes in structured mode is the same event."""
    subject = "/".join(part for part in (event.connection, event.object, event.key) if part is not None)
    attributes = {
        "id": event.id,
        "source": event.source,
        "type": f"writeback.{event.operation}",
        "subject": subject,
        "time": event.time.isoformat(),
        "data": event.fields,
        "options": event.options.model_dump(exclude_defaults=True),
        **({"traceparent": event.traceparent} if event.traceparent else {}),
    }

    assert decode(structured(**attributes)) == event.model_copy(update={"replay": None})


@settings(deadline=None)
@given(events)
def test_plain_round_trip(event: Event) -> None:
    """The JSON of an event, as it prints itself, is the same event."""
    assert decode(plain(event.model_dump_json().encode())) == event


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"a": float("nan")}, "NaN or Infinity"),
        ({"a": [float("-inf")]}, "NaN or Infinity"),
        ({"a": "\ud800"}, "no JSON: .*surrogates"),
        ({"\ud800": 1}, "no JSON: .*surrogates"),
        ({"a": object()}, "no JSON: .*object"),
        ({"a": b"\xff"}, "no JSON: "),
    ],
)
def test_fields_that_are_no_json(fields: dict[str, Any], words: str) -> None:
    """What JSON cannot hold is refused where it is emitted, not found in the dead letters."""
    with pytest.raises(ValueError, match=words):
        encode(Event(operation=Operation.ADD, connection="hubspot", object="contact", fields=fields))


def test_text_that_says_nan() -> None:
    """The word NaN in a text is a text."""
    event = Event(operation=Operation.ADD, connection="hubspot", object="contact", fields={"a": "NaN, Infinity"})

    assert decode(record(encode(event))).fields == {"a": "NaN, Infinity"}


def test_key_with_a_nul() -> None:
    """A key that no event can have is refused where it is emitted."""
    with pytest.raises(ValueError, match="NUL"):
        Stamp(Operation.ADD, "hubspot", "contact", "s", NO_OPTIONS).encode("1", datetime.now(UTC), "a\0b", {})


def test_fields_in_a_circle() -> None:
    """Fields that hold themselves are refused."""
    circle: dict[str, Any] = {}
    circle["a"] = circle

    with pytest.raises(ValueError, match="no JSON"):
        Stamp(Operation.ADD, "hubspot", "contact", "s", NO_OPTIONS).encode("1", datetime.now(UTC), None, circle)


def test_values_that_json_has_not_but_everybody_sends() -> None:
    """Dates, decimals, UUIDs and large numbers are written as JSON has them."""
    fields = {
        "at": datetime(2026, 1, 2, tzinfo=UTC),
        "price": Decimal("1.10"),
        "id": UUID(int=7),
        "large": 2**200,
    }
    encoded = Stamp(Operation.ADD, "hubspot", "contact", "s", NO_OPTIONS).encode("1", datetime.now(UTC), None, fields)

    assert decode(record(encoded)).fields == {
        "at": "2026-01-02T00:00:00Z",
        "price": 1.1,
        "id": str(UUID(int=7)),
        "large": 2**200,
    }


NAMES = [*ATTRIBUTES, "ce_time", "ce_options", "traceparent", "writeback-replay-letter", "writeback-replay-number", "x"]
header_values = st.binary(max_size=20) | st.text(max_size=20).map(lambda text: text.encode(errors="ignore"))
jsons = st.binary(max_size=200) | values.map(lambda value: json.dumps(value).encode())
bodies = st.dictionaries(
    st.sampled_from([*Event.model_fields, "specversion", "type", "subject", "data", "data_base64"]), values, max_size=9
).map(lambda body: json.dumps(body).encode())


@settings(max_examples=400, deadline=None)
@given(
    st.one_of(st.none(), jsons, bodies),
    st.dictionaries(st.sampled_from(NAMES), header_values | st.none(), max_size=6),
    st.booleans(),
    st.integers(-(2**63), 2**63),
)
def test_hostile_records_raise_nothing_else(
    value: bytes | None, hostile: dict[str, bytes | None], whole: bool, timestamp: int
) -> None:
    """No record whatever makes decode raise anything but MalformedEvent."""
    headers = {**(ATTRIBUTES if whole else {}), **hostile}
    record = Record(TOPIC, 7, timestamp, None, value, tuple(headers.items()))  # type: ignore[arg-type]
    outcome: Event | MalformedEvent
    try:
        outcome = decode(record)
    except MalformedEvent as error:
        outcome = error

    assert isinstance(outcome, Event | MalformedEvent)
    if isinstance(outcome, Event):
        encode(outcome)


def test_the_quick_time_is_the_time() -> None:
    """What a producer writes for now reads as now, to the microsecond, before and after the second turns."""
    earlier = now()
    told = [datetime.fromisoformat(now_text().decode()) for _ in range(1_000)]

    moments = [earlier, *told, now()]

    assert moments == sorted(moments)
    assert all(moment.tzinfo is not None for moment in told)
