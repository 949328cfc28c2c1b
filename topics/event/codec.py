"""CloudEvents 1.0, Kafka protocol binding: an event to a record and back.

Written in binary mode: the value is ``fields`` as JSON, everything else is a header. Read in three shapes: binary
mode, structured mode (``content-type: application/cloudevents+json``), and a plain JSON object without CloudEvents
headers, what a person types into kcat. A number that a double would round is a ``Decimal`` in ``fields``.
https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/kafka-protocol-binding.md
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from sys import intern
from typing import Any, NamedTuple

from pydantic import ValidationError
from pydantic_core import from_json, to_json

from topics.errors import MalformedEvent
from topics.event import exact_json
from topics.event.event import NO_OPTIONS, Event, Operation, Options, Replay
from topics.log import Headers, Record
from topics.log.headers import Header
from topics.names import slug_of

VERSION = b"1"
TYPE_PREFIX = "writeback."
REPLAY_LETTER = "writeback-replay-letter"
REPLAY_NUMBER = "writeback-replay-number"
WRITTEN_TIME = len("2026-01-01T00:00:00.000000+00:00")

_JSON = b"application/json"
_OPERATIONS = {TYPE_PREFIX + operation: operation for operation in Operation}
_STRUCTURED = "application/cloudevents"
_READ = {
    name: name
    for name in (
        *("ce_specversion", "ce_id", "ce_source", "ce_type", "ce_subject", "ce_time", "ce_options", "ce_traceparent"),
        *("content-type", "traceparent", REPLAY_LETTER, REPLAY_NUMBER),
    )
}
_WRITTEN_ONLY = ("ce_schemaversion", "ce_partitionkey")
_KNOWN: dict[str, str | None] = {**_READ, **dict.fromkeys(_WRITTEN_ONLY)}
_FIELDS_SET = set(Event.model_fields)
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")


class Encoded(NamedTuple):
    key: bytes
    value: bytes
    headers: Headers


class Stamp:
    """What is the same for every event of one function: encoded once, so that a producer of many pays for the rest."""

    def __init__(self, operation: Operation, connection: str, object_name: str, source: str, options: Options) -> None:
        self._subject = f"{connection}/{object_name}".encode()
        self._object = object_name.encode()
        given = (
            () if options == NO_OPTIONS else (("ce_options", options.model_dump_json(exclude_defaults=True).encode()),)
        )
        self._fixed: tuple[Header, ...] = (
            ("ce_specversion", b"1.0"),
            ("ce_source", source.encode()),
            ("ce_type", (TYPE_PREFIX + operation).encode()),
            ("ce_schemaversion", VERSION),
            ("content-type", _JSON),
            *given,
        )

    def encode(self, event_id: str, time: datetime, key: str | None, fields: Mapping[str, Any]) -> Encoded:
        """The record; what it is handed must be what an ``Event`` takes, only what comes from data is checked again.

        Raises ``ValueError`` for fields that JSON cannot hold, and for a key with a NUL.
        """
        return self.seal(event_id, time.isoformat().encode(), key, _json_value(fields))

    def seal(self, event_id: str, time: bytes, key: str | None, value: bytes) -> Encoded:
        """The same for a time and a JSON object that are bytes already. Raises ``ValueError`` for a key with a NUL."""
        id_bytes = event_id.encode()
        if key is None:
            subject, record_key = self._subject, id_bytes
        else:
            if "\0" in key:
                raise ValueError(f"the key {_shown(key)} holds a NUL character")
            tail = b"/" + key.encode()
            subject, record_key = self._subject + tail, self._object + tail
        own = (
            ("ce_id", id_bytes),
            ("ce_time", time),
            ("ce_subject", subject),
            ("ce_partitionkey", record_key),
        )
        return Encoded(record_key, value, self._fixed + own)


def encode(event: Event) -> Encoded:
    """The record of an event, in binary mode. Raises ``ValueError`` for fields that JSON cannot hold."""
    stamp = Stamp(event.operation, event.connection, event.object, event.source, event.options)
    encoded = stamp.encode(event.id, event.time, event.key, event.fields)
    more = (("traceparent", event.traceparent.encode()),) if event.traceparent else ()
    replayed = replay_headers(event.replay) if event.replay else ()
    return encoded._replace(headers=(*encoded.headers, *more, *replayed)) if more or replayed else encoded


def replay_headers(replay: Replay) -> list[tuple[str, bytes]]:
    return [(REPLAY_LETTER, replay.letter.encode()), (REPLAY_NUMBER, str(replay.number).encode())]


def decode(record: Record) -> Event:
    """The event of a record. Raises ``MalformedEvent`` with a message that names what is wrong; never anything else."""
    if record.value is None:
        raise MalformedEvent("the record has no value (a tombstone); a writeback event carries a JSON object")
    try:
        return _event(record, _our_headers(record.headers))
    except ValidationError as error:
        raise MalformedEvent(_first_of(error, "event")) from error
    except (ValueError, RecursionError, OverflowError) as error:
        raise MalformedEvent(str(error)) from error


def cloud_event(record: Record) -> tuple[dict[str, str], dict[str, Any]]:
    """The attributes (with ``ce_`` before their names; none of a plain JSON object) and the data of any record of ours.

    For records that are no events. Raises ``MalformedEvent``.
    """
    try:
        headers = _our_headers(record.headers)
        if headers.get("content-type", "").lower().startswith(_STRUCTURED):
            return _structured(record, headers)
        return headers, _json_object(record.value)
    except (ValueError, RecursionError, OverflowError) as error:
        raise MalformedEvent(str(error)) from error


def _our_headers(headers: Headers) -> dict[str, str]:
    """The headers that an event is read from, by lower-case name, the last of a double one.

    Others are not ours to judge: tracing agents add binary ones.
    """
    ours: dict[str, str] = {}
    for name, value in headers:
        known = _KNOWN[name] if name in _KNOWN else _READ.get(name.lower())
        if value is None or known is None:
            continue
        try:
            ours[known] = value.decode()
        except UnicodeDecodeError as error:
            raise MalformedEvent(f"the header {name} is not UTF-8: {error.reason} at byte {error.start}") from error
    return ours


def _first_of(error: ValidationError, where: str) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(str(part) for part in first['loc']) or where}: {first['msg']}"


def _event(record: Record, headers: dict[str, str]) -> Event:
    if headers.get("content-type", "").lower().startswith(_STRUCTURED):
        return _binary(*_structured(record, headers))
    if "ce_specversion" in headers or any(name.startswith("ce_") for name in headers):
        return _binary(headers, _json_object(record.value))
    return _plain(record, headers)


def _binary(attributes: dict[str, str], fields: dict[str, Any]) -> Event:
    if "ce_specversion" not in attributes:
        raise MalformedEvent("ce_specversion is missing (the CloudEvents attribute specversion)")
    if attributes["ce_specversion"] != "1.0":
        raise MalformedEvent(f"ce_specversion is {_shown(attributes['ce_specversion'])}; this reads 1.0")
    for name in ("ce_id", "ce_source", "ce_type", "ce_subject"):
        if not attributes.get(name):
            raise MalformedEvent(f"{name} is missing (the CloudEvents attribute {name.removeprefix('ce_')})")
    connection, object_name, key = _subject(attributes["ce_subject"])
    event: dict[str, Any] = {
        "id": attributes["ce_id"],
        "operation": _operation(attributes["ce_type"]),
        "connection": intern(connection),
        "object": intern(object_name),
        "key": key,
        "fields": fields,
        "source": intern(attributes["ce_source"]),
        "options": _options(attributes.get("ce_options")),
        "traceparent": _traceparent(attributes),
        "replay": _replay(attributes),
    }
    if "ce_time" in attributes:
        event["time"] = _utc(attributes["ce_time"])
    valid = Event.model_validate(event)
    # Thousands wait in a worker's memory, and each would carry 700 bytes that say which of its fields were given.
    object.__setattr__(valid, "__pydantic_fields_set__", _FIELDS_SET)
    return valid


def _utc(text: str) -> datetime | str:
    """A time as we write it, with Python's own UTC; whatever else it may be is for pydantic to read."""
    if len(text) == WRITTEN_TIME and text.endswith("+00:00"):
        try:
            return datetime.fromisoformat(text)
        except ValueError:
            pass
    return text


def _structured(record: Record, headers: dict[str, str]) -> tuple[dict[str, str], dict[str, Any]]:
    if "batch" in headers["content-type"].lower():
        raise MalformedEvent("a batch of CloudEvents in one record is not read: send one event a record")
    body = _json_object(record.value)
    data = body.pop("data", None)
    if not isinstance(data, dict):
        raise MalformedEvent("data: a structured CloudEvent of ours carries a JSON object in data")
    options = body.pop("options", None)
    for name in ("specversion", "id", "source", "type", "subject", "time"):
        if not isinstance(body.get(name), str | None):
            raise MalformedEvent(f"{name} is {exact_json.kind(body[name])}, not a string")
    attributes = {f"ce_{name}": value for name, value in body.items() if isinstance(value, str)}
    if options is not None:
        attributes["ce_options"] = options if isinstance(options, str) else to_json(options).decode()
    for name in ("traceparent", REPLAY_LETTER, REPLAY_NUMBER):
        if name in headers:
            attributes[name] = headers[name]
    return attributes, data


def _plain(record: Record, headers: dict[str, str]) -> Event:
    """A JSON object with ``operation``, ``object`` and ``fields``; the topic gives the connection.

    A member that is null is absent, as an attribute of a structured CloudEvent is. Place and timestamp in the log give
    the id: a redelivery is the same event, and a topic that was deleted and made again does not use an id twice.
    """
    body = {name: value for name, value in _json_object(record.value).items() if value is not None}
    slug = slug_of(record.partition.topic)
    if slug is not None:
        body.setdefault("connection", slug)
    place = f"{record.partition.topic}-{record.partition.number}-{record.offset}"
    body.setdefault("id", f"{place}-{record.timestamp_ms}")
    body.setdefault("time", _time_of(record))
    body.setdefault("source", "plain-json")
    replay = _replay(headers)
    if replay:
        body["replay"] = replay
    return Event.model_validate(body)


def _time_of(record: Record) -> datetime:
    try:
        return datetime.fromtimestamp(record.timestamp_ms / 1_000, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise MalformedEvent(
            f"the record's timestamp {record.timestamp_ms} is no time, and the event has none"
        ) from error


def _options(text: str | None) -> Options:
    return NO_OPTIONS if text is None else _read_options(text)


@lru_cache(1_000)
def _read_options(text: str) -> Options:
    """Options are frozen, and those of a script's events are all the same: they share one."""
    try:
        return Options.model_validate_json(text)
    except ValidationError as error:
        raise MalformedEvent(f"ce_options: {_first_of(error, 'the whole')}") from error


def _traceparent(attributes: dict[str, str]) -> str | None:
    """Where the trace goes on; one that is not as W3C has it is left out, as W3C has it too."""
    text = attributes.get("traceparent") or attributes.get("ce_traceparent")
    return text if text and _TRACEPARENT.fullmatch(text) else None


def _replay(headers: dict[str, str]) -> Replay | None:
    if REPLAY_LETTER not in headers:
        return None
    try:
        return Replay.model_validate({"letter": headers[REPLAY_LETTER], "number": headers.get(REPLAY_NUMBER, "1")})
    except ValidationError as error:
        raise MalformedEvent(f"the headers writeback-replay-*: {_first_of(error, 'replay')}") from error


def _json_object(value: bytes | None) -> dict[str, Any]:
    try:
        body = from_json(value or b"", allow_inf_nan=False)
    except ValueError as error:
        raise MalformedEvent(f"the value is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise MalformedEvent(f"the value is {exact_json.kind(body)}, not an object")
    if _has_floats(body):
        return _exact(body, value or b"")
    return body


def _exact(body: dict[str, Any], value: bytes) -> dict[str, Any]:
    """The same object, read again with every digit where a double may have rounded a number."""
    overflow = exact_json.overflowing(body)
    if overflow is not None:
        raise MalformedEvent(f"the value holds a number beyond what a double takes (1e308): {overflow}")
    if exact_json.may_round(value):
        exact: dict[str, Any] = exact_json.loads_checked(value)
        return exact
    return body


def _has_floats(value: dict[str, Any] | list[Any]) -> bool:
    for item in value.values() if isinstance(value, dict) else value:
        kind = type(item)
        if kind is float or ((kind is dict or kind is list) and _has_floats(item)):
            return True
    return False


def _json_value(fields: Mapping[str, Any]) -> bytes:
    try:
        value = exact_json.dumps(fields)
    except (ValueError, RecursionError) as error:  # no JSON type, a lone surrogate, a circle
        raise ValueError(f"the fields are no JSON: {error}") from error
    if b"NaN" in value or b"Infinity" in value:  # in a text, perhaps
        try:
            from_json(value, allow_inf_nan=False)
        except ValueError as error:
            raise ValueError(
                "the fields hold NaN or Infinity, which JSON has not: send None for a missing value"
            ) from error
    return value


def _operation(ce_type: str) -> Operation:
    operation = _OPERATIONS.get(ce_type)
    if operation is None:
        raise MalformedEvent(f"ce_type is {_shown(ce_type)}; it is one of {', '.join(_OPERATIONS)}")
    return operation


def _shown(text: str) -> str:
    """Short, and on one line."""
    return repr(text if len(text) <= 100 else text[:100] + "...")


def _subject(subject: str) -> tuple[str, str, str | None]:
    parts = subject.split("/", 2)
    if len(parts) < 2 or not parts[0] or not parts[1]:
        raise MalformedEvent(f"ce_subject is {_shown(subject)}; it is <connection>/<object>[/<key>]")
    return parts[0], parts[1], parts[2] if len(parts) == 3 and parts[2] else None
