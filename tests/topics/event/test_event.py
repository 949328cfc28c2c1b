"""The event, as a producer makes it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from topics.event.event import Event, Operation, Options, Replay


def event(**given: Any) -> Event:
    return Event.model_validate({"operation": "add", "connection": "hubspot", "object": "contact", **given})


def test_an_event_is_born_with_an_id_and_a_time() -> None:
    """Ids are unique and sort by time of birth; the time has a zone."""
    events = [event() for _ in range(100)]

    assert len({each.id for each in events}) == 100
    assert [each.id for each in events] == sorted(each.id for each in events)
    assert events[0].time.tzinfo is UTC


def test_record_key() -> None:
    """Events of one record share a key; without a key an event needs no order and has a key of its own."""
    assert event(key="7").record_key == "contact/7"
    assert event(key="7", object="deal").record_key == "deal/7"
    assert event(id="abc").record_key == "abc"


def test_frozen() -> None:
    """An event does not change."""
    with pytest.raises(ValidationError, match="frozen"):
        event().key = "8"  # type: ignore[misc]


def test_time_without_a_zone_is_utc() -> None:
    """Times can be compared, whoever gave them."""
    assert event(time=datetime(2026, 1, 2)).time == datetime(2026, 1, 2, tzinfo=UTC)  # noqa: DTZ001 - the subject


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"operation": "explode"}, "operation"),
        ({"connection": ""}, "connection"),
        ({"connection": "a/b"}, "connection"),
        ({"connection": "c" * 64}, "connection"),
        ({"object": ""}, "object"),
        ({"object": "a/b"}, "object"),
        ({"object": "a\0"}, "object"),
        ({"key": ""}, "key"),
        ({"key": "k" * 1_025}, "key"),
        ({"key": "a\0b"}, "key"),
        ({"key": "\ud800"}, "key"),
        ({"key": 7}, "key"),
        ({"id": ""}, "id"),
        ({"id": "a\nb"}, "id"),
        ({"id": "\x7f"}, "id"),
        ({"id": "\udfff"}, "id"),
        ({"source": ""}, "source"),
        ({"source": "\0"}, "source"),
        ({"fields": None}, "fields"),
        ({"fields": [1]}, "fields"),
        ({"time": "nonsense"}, "time"),
        ({"options": {"timeout_s": 0}}, "options.timeout_s"),
        ({"options": {"timeout_s": 3_601}}, "options.timeout_s"),
        ({"options": {"timeout_s": float("nan")}}, "options.timeout_s"),
        ({"options": {"idempotency_key": ""}}, "options.idempotency_key"),
        ({"options": {"idempotency_key": "a\r\nb"}}, "options.idempotency_key"),
        ({"options": {"reply_to": -1}}, "options.reply_to"),
        ({"replay": {"letter": ""}}, "replay.letter"),
        ({"replay": {"letter": "l", "number": 0}}, "replay.number"),
        ({"replay": {"letter": "l", "number": 2**31}}, "replay.number"),
    ],
)
def test_refused(given: dict[str, Any], named: str) -> None:
    """What no event can hold is refused, and named."""
    with pytest.raises(ValidationError) as raised:
        event(**given)

    assert [".".join(map(str, error["loc"])) for error in raised.value.errors()] == [named]


def test_what_later_releases_add_is_ignored() -> None:
    """A field that this release does not know is not an error."""
    assert event(colour="blue", options={"colour": "blue"}).options == Options()


def test_text_of_every_kind() -> None:
    """Keys are texts of any script, with spaces, slashes and quotes."""
    for key in ("ünïcödé \U0001f600", "a/b//c", "'\"\\", " ", "a\nb"):
        assert event(key=key).key == key


def test_an_operation_is_its_word() -> None:
    """Operations read as the words that the API uses."""
    assert [str(operation) for operation in Operation] == ["add", "update", "upsert", "delete", "message"]
    assert event(replay={"letter": "l"}).replay == Replay(letter="l", number=1)
