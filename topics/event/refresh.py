"""The request to load a connection's data into the warehouse again, as ``writeback.refresh`` carries it.

A CloudEvent of the type ``writeback.refresh`` whose subject is the connection's slug; the same slug is the record's
key, so that one refresher has all requests of a connection. Plain JSON is read too, and a record that is nothing but a
key (what a person types into kcat) asks for everything of that connection.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import to_json

from topics.errors import MalformedEvent
from topics.event import codec
from topics.event.codec import REPLAY_LETTER, REPLAY_NUMBER, Encoded
from topics.event.event import NO_CONTROL, NO_NUL, Options, Replay, new_id, now
from topics.log import Record

TYPE = codec.TYPE_PREFIX + "refresh"
OPERATION = "refresh"
"""What a refresh is called where an event has its operation: in results and in dead letters."""

ObjectName = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^/\x00]+$")]


class OwnWrites(BaseModel):
    """The first and the last offset of what the asking script has written to one partition of the connection."""

    model_config = ConfigDict(frozen=True)

    first: int = Field(ge=0)
    last: int = Field(ge=0)

    @model_validator(mode="after")
    def _in_order(self) -> OwnWrites:
        if self.first > self.last:
            raise ValueError(f"the first offset {self.first} is after the last {self.last}")
        return self


def _sorted(objects: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(set(objects)))


Objects = Annotated[tuple[ObjectName, ...], Field(min_length=1), AfterValidator(_sorted)]


class RefreshRequest(BaseModel):
    """``objects``: those to load, None for everything. ``full``: from the beginning, with the newest manifest.

    ``after``: by partition of the connection's events topic, what has to be delivered first. ``reply_to``: the
    partition of ``writeback.replies`` on which somebody waits for the outcome. ``source``: who asks.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str = Field(default_factory=new_id, min_length=1, max_length=256, pattern=NO_CONTROL)
    connection: str = Field(min_length=1, max_length=63, pattern=r"^[^/\x00]+$")
    objects: Objects | None = None
    full: bool = False
    after: dict[int, OwnWrites] = Field(default_factory=dict)
    reply_to: int | None = Field(default=None, ge=0)
    source: str = Field(default="writeback", min_length=1, max_length=1_024, pattern=NO_NUL)
    time: datetime = Field(default_factory=now)
    replay: Replay | None = None


BODY = frozenset({"objects", "full", "after"})
"""The fields in the record's value; the others are attributes."""


def encode(request: RefreshRequest) -> Encoded:
    """The record of a request, in binary mode."""
    key = request.connection.encode()
    options = Options(reply_to=request.reply_to).model_dump_json(exclude_defaults=True)
    replayed = codec.replay_headers(request.replay) if request.replay else []
    headers = (
        ("ce_specversion", b"1.0"),
        ("ce_id", request.id.encode()),
        ("ce_source", request.source.encode()),
        ("ce_type", TYPE.encode()),
        ("ce_time", request.time.isoformat().encode()),
        ("ce_subject", key),
        ("ce_partitionkey", key),
        ("ce_schemaversion", codec.VERSION),
        ("ce_options", options.encode()),
        ("content-type", b"application/json"),
        *replayed,
    )
    return Encoded(key, to_json(request.model_dump(include=set(BODY), exclude_defaults=True)), headers)


def decode(record: Record) -> RefreshRequest:
    """The request of a record. Raises ``MalformedEvent``, which names what is wrong; never anything else."""
    try:
        return RefreshRequest.model_validate(_request(record))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "request"
        raise MalformedEvent(f"{where}: {first['msg']}") from error


def _request(record: Record) -> dict[str, Any]:
    attributes, body = codec.cloud_event(record) if record.value else ({}, {})
    key = (record.key or b"").decode(errors="replace")
    if "ce_type" not in attributes:
        place = f"{record.partition.topic}-{record.partition.number}-{record.offset}-{record.timestamp_ms}"
        given = {"id": place, "connection": key, "source": "plain-json"} | body
    elif attributes["ce_type"] != TYPE:
        raise MalformedEvent(f"ce_type is {attributes['ce_type'][:100]!r}; on this topic it is {TYPE}")
    else:
        given = {name: body[name] for name in BODY & body.keys()} | {
            "id": attributes.get("ce_id", ""),
            "connection": attributes.get("ce_subject", ""),
            "source": attributes.get("ce_source", ""),
            "reply_to": _reply_to(attributes),
        }
        if "ce_time" in attributes:
            given["time"] = attributes["ce_time"]
    return given | _replay(attributes)


def _reply_to(attributes: Mapping[str, str]) -> int | None:
    text = attributes.get("ce_options")
    return Options.model_validate_json(text).reply_to if text else None


def _replay(attributes: Mapping[str, str]) -> dict[str, Any]:
    if REPLAY_LETTER not in attributes:
        return {}
    return {"replay": {"letter": attributes[REPLAY_LETTER], "number": attributes.get(REPLAY_NUMBER, "1")}}
