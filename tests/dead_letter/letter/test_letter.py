import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dead_letter.letter.letter import MAX_TEXT, NULL_KEY, STORY, Attempt, Letter, decode, encode, letter_id, raw
from tests.dead_letter.samples import START, a_letter, a_record, an_event, as_record
from topics.log import Headers, Partition, Record
from topics.names import DEFAULT, MAX_EVENT_BYTES, MAX_EVIDENCE_BYTES, MAX_LETTER_BYTES

WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=50)
BYTES = st.none() | st.binary(max_size=50)
NAMES = WORDS | st.sampled_from(
    ["kafka_dlt-original-topic", "~kafka_dlt-x", "~~writeback-letter-story", STORY, "writeback-letter", "~", "~a"]
)
SECONDS = st.floats(0, 4e9)
RECORDS = st.builds(
    Record,
    st.builds(Partition, WORDS, st.integers(0, 2**31 - 1)),
    st.integers(0, 2**63 - 1),
    st.integers(-1, 2**53),
    BYTES,
    BYTES,
    st.lists(st.tuples(NAMES, BYTES), max_size=8).map(tuple),
)
MAYBE = st.none() | WORDS
ATTEMPTS = st.builds(
    Attempt, st.integers(0, 99), SECONDS, WORDS, WORDS, SECONDS, st.none() | st.integers(100, 599), WORDS, MAYBE
)
LETTERS = st.builds(
    Letter,
    id=WORDS,
    record=RECORDS,
    connection=WORDS,
    object=MAYBE,
    operation=MAYBE,
    event_id=MAYBE,
    event_key=MAYBE,
    verdict=WORDS,
    reason=WORDS,
    status=st.none() | st.integers(100, 599),
    excerpt=WORDS,
    attempts=st.lists(ATTEMPTS, max_size=5).map(tuple),
    connector=WORDS,
    connector_version=WORDS,
    idempotency_key=MAYBE,
    time=SECONDS,
    possible_duplicate=st.booleans(),
    blocked_by=MAYBE,
    replay_of=MAYBE,
    replay_number=st.integers(0, 99),
    omitted=st.integers(0, 99),
)


def round_trip(letter: Letter) -> Letter:
    return decode(as_record(letter))


@given(LETTERS)
def test_round_trip(letter: Letter) -> None:
    """A letter comes back from its record as it was: original and story."""
    assert round_trip(letter) == letter


@given(LETTERS, st.integers(2, 4))
def test_nothing_piles_up(letter: Letter, times: int) -> None:
    """An event that dies again and again keeps its own headers, and one set of ours."""
    original = letter.record.headers
    for _ in range(times):
        letter = round_trip(replace(letter, replay_of=letter.id, replay_number=letter.replay_number + 1))
    names = [name for name, _ in encode(letter).headers]

    assert letter.record.headers == original
    assert len(names) == len(original) + 9
    assert names.count(STORY) == 1


@given(st.binary(max_size=80), st.lists(st.tuples(NAMES, BYTES), max_size=5))
def test_decode_never_raises(story: bytes, headers: list[tuple[str, Any]]) -> None:
    """Whatever lies on the topic, it is a letter."""
    record = Record(Partition(DEFAULT.dead_letter, 0), 4, 5_000, b"k", b"v", (*headers, (STORY, story)))

    assert decode(record).record.value == b"v"


def test_a_story_that_cannot_be_read_keeps_the_record() -> None:
    """A damaged letter is a foreign one that holds the record as it lies there."""
    record = Record(Partition(DEFAULT.dead_letter, 0), 4, 5_000, b"k", b"v", ((STORY, b"{"),))
    letter = decode(record)

    assert (letter.verdict, letter.record) == ("foreign", record)
    assert STORY in letter.reason


def test_a_later_version_is_read() -> None:
    """Fields that this release does not know are ignored."""
    letter = a_letter()
    record = as_record(letter)
    story = json.loads(dict(record.headers)[STORY])
    later = {**story, "v": 2, "mood": "sad", "attempts": [{**story["attempts"][0], "mood": "sad"}]}
    headers = (*record.headers[:-1], (STORY, json.dumps(later).encode()))

    assert decode(replace(record, headers=headers)) == letter


def test_the_largest_event_fits_with_its_story() -> None:
    """An event at the size limit, refused after 20 attempts with answers of 1 MB, still is a letter that fits."""
    answer = "é" * 1_000_000
    attempts = tuple(Attempt(number, START, "retry", answer, 9.0, 500, answer, answer) for number in range(1, 21))
    names = [(f"kafka_dlt-{number}", b"") for number in range(10_000)]
    size = MAX_EVENT_BYTES - sum(len(name) for name, _ in names)
    record = Record(Partition("writeback.events.hubspot", 0), 1, 2, b"k", b"x" * (size - 1), tuple(names))
    letter = a_letter(record=record, reason=answer, excerpt=answer, attempts=attempts)
    written = as_record(letter)
    back = decode(written)

    assert record.size == MAX_EVENT_BYTES
    assert written.size <= record.size + MAX_EVIDENCE_BYTES < MAX_LETTER_BYTES
    assert back.record == record
    numbers = [attempt.number for attempt in back.attempts]
    assert (numbers[0], numbers[-1], len(numbers) + back.omitted) == (1, 20, 20)
    assert back.attempts[0].excerpt == answer[:MAX_TEXT]


def test_a_short_story_is_kept_whole() -> None:
    """Twenty attempts with ordinary answers lose nothing."""
    attempts = tuple(Attempt(number, START, "retry", "busy", 9.0, 500, "x" * MAX_TEXT) for number in range(20))

    assert round_trip(a_letter(attempts=attempts)).attempts == attempts


def test_neither_key_nor_value() -> None:
    """Kafka's client refuses a record without both: the letter gets a key that reads back as none."""
    letter = a_letter(record=Record(Partition("t", 0), 0, 0, None, None))

    assert encode(letter).key == NULL_KEY
    assert round_trip(letter).record.key is None


def test_a_key_that_looks_like_the_stand_in() -> None:
    """An event whose own key is the stand-in keeps it."""
    letter = a_letter(record=Record(Partition("t", 0), 0, 0, NULL_KEY, None))

    assert round_trip(letter).record.key == NULL_KEY


def test_hostile_headers() -> None:
    """Missing, undecodable, repeated and huge header values travel as they are."""
    headers: Headers = (("a", b"\xff"), ("a", None), ("b", b"x" * 100_000), ("kafka_dlt-x", b"\xfe"))  # type: ignore[assignment]
    letter = a_letter(record=replace(a_record(), headers=headers))

    assert round_trip(letter).record.headers == headers


def test_spring_reads_it() -> None:
    """The headers of Spring's recoverer are there, in its types."""
    record = replace(a_record(), partition=Partition("writeback.events.hubspot", 3), offset=2**40, timestamp_ms=2**41)
    headers = dict(encode(a_letter(record=record, reason="no such property")).headers)

    assert headers["kafka_dlt-original-topic"] == b"writeback.events.hubspot"
    assert headers["kafka_dlt-original-partition"] == b"\x00\x00\x00\x03"
    assert headers["kafka_dlt-original-offset"] == (2**40).to_bytes(8, "big")
    assert headers["kafka_dlt-original-timestamp"] == (2**41).to_bytes(8, "big")
    assert headers["kafka_dlt-exception-message"] == b"no such property"


def test_a_letter_of_spring() -> None:
    """What Spring's recoverer wrote is a foreign letter with the original's place and its words."""
    ours = a_record(7, an_event(key="42"))
    said = (
        ("kafka_dlt-original-topic", b"writeback.events.hubspot"),
        ("kafka_dlt-original-partition", b"\x00\x00\x00\x00"),
        ("kafka_dlt-original-offset", (7).to_bytes(8, "big")),
        ("kafka_dlt-original-timestamp", (1_007).to_bytes(8, "big")),
        ("kafka_dlt-exception-fqcn", b"org.acme.Broken"),
        ("kafka_dlt-exception-message", b"it broke"),
        ("kafka_dlt-exception-stacktrace", b"at org.acme"),
    )
    lying = Record(Partition(DEFAULT.dead_letter, 0), 99, 2_000, ours.key, ours.value, (*ours.headers, *said))
    letter = decode(lying)

    assert letter.record == ours
    assert (letter.verdict, letter.reason, letter.connection, letter.event_key) == (
        "foreign",
        "it broke",
        "hubspot",
        "42",
    )
    assert "org.acme.Broken" in letter.excerpt


def test_a_letter_of_kafka_connect() -> None:
    """What Kafka Connect wrote is a foreign letter, also about a topic that is none of ours."""
    said = (
        ("__connect.errors.topic", b"orders"),
        ("__connect.errors.partition", b"2"),
        ("__connect.errors.offset", b"17"),
        ("__connect.errors.stage", b"VALUE_CONVERTER"),
        ("__connect.errors.exception.message", b"Unknown magic byte!"),
    )
    letter = decode(Record(Partition(DEFAULT.dead_letter, 0), 99, 2_000, b"k", b"\x01", (("own", b"1"), *said)))

    assert letter.record == Record(Partition("orders", 2), 17, 2_000, b"k", b"\x01", (("own", b"1"),))
    assert (letter.verdict, letter.reason, letter.connection) == ("foreign", "Unknown magic byte!", "")
    assert letter.excerpt == "stage: VALUE_CONVERTER"


def test_a_stranger_with_nonsense() -> None:
    """Headers of others that do not hold what they promise leave the record as it lies there."""
    record = Record(Partition(DEFAULT.dead_letter, 0), 1, 2, b"k", b"v", (("kafka_dlt-original-offset", b"seven"),))

    assert decode(record).record == record


def test_the_id_is_the_records() -> None:
    """A letter written twice has one id; the same place in a topic made anew has another."""
    record = a_record(3)

    assert letter_id(record) == letter_id(replace(record, value=b""))
    assert letter_id(record) != letter_id(replace(record, timestamp_ms=record.timestamp_ms + 1))
    assert raw(record, "x").id == letter_id(record)


def test_a_lone_surrogate_does_not_stop_a_letter() -> None:
    """A vendor's words that UTF-8 cannot carry become a question mark, and the letter goes."""
    assert round_trip(a_letter(excerpt="a\ud800b")).excerpt == "a?b"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Contact 17 exists", "Contact 18 exists", True),
        ("no ada@x.org here", "no bob.b+c@y.example.com here", True),
        ("Property 'emial' is unknown", "Property 'nmae' is unknown", True),
        ('Property "emial" is unknown', "Property `nmae` is unknown", True),
        ("doesn't exist", "doesn't  EXIST", True),
        ("trace 018f6a3e-7d44-7abc-8def-001122334455", "trace 118f6a3e-7d44-7abc-8def-001122334455", True),
        ("see https://x.org/1?a=b", "see https://x.org/2", True),
        ("took 1.5 s at 10:30", "took 12 s at 9:05", True),
        ("Contact 17 exists", "Deal 17 exists", False),
        ("unauthorized", "forbidden", False),
    ],
)
def test_fingerprint(one: str, other: str, same: bool) -> None:
    """Reasons that differ in ids, numbers, addresses and quoted words are one problem; others are not."""
    assert (a_letter(0, reason=one).fingerprint == a_letter(1, reason=other).fingerprint) == same


def test_fingerprint_knows_where() -> None:
    """The same words of another connection, operation, object, status or verdict are another problem."""
    letters = [
        a_letter(),
        a_letter(connection="x"),
        a_letter(object="deal"),
        a_letter(operation="add"),
        a_letter(status=422),
        a_letter(verdict="exhausted"),
    ]

    assert len({letter.fingerprint for letter in letters}) == len(letters)
