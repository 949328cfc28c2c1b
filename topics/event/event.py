"""The event: what a producer asks for. On the wire it is a CloudEvent (``topics/event/codec.py``)."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from time import time_ns
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from uuid_utils import uuid7

NO_CONTROL = r"^[^\x00-\x1f\x7f]+$"
"""For what ends up in an HTTP header of the vendor's API."""
NO_NUL = r"^[^\x00]+$"
"""For what ends up in a column: PostgreSQL keeps no NUL in a text."""


class Operation(StrEnum):
    ADD = "add"
    UPDATE = "update"
    UPSERT = "upsert"
    DELETE = "delete"
    MESSAGE = "message"


class Replay(BaseModel):
    """Set on an event that came back from the dead letters."""

    model_config = ConfigDict(frozen=True)

    letter: str = Field(min_length=1, max_length=256, pattern=NO_NUL)
    number: int = Field(default=1, ge=1, lt=2**31)


class Options(BaseModel):
    """Per event, all optional.

    ``timeout_s``: seconds the connector may wait for the vendor's answer. ``short``: the seed's ``timeout=True``, few
    retries. ``idempotency_key``: sent to vendors that take one (default: the event's id). ``reply_to``: the partition
    of ``writeback.replies`` on which somebody waits for the outcome. ``backfill``: yields to live events.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    timeout_s: float | None = Field(default=None, gt=0, le=3_600)
    short: bool = False
    idempotency_key: str | None = Field(default=None, min_length=1, max_length=128, pattern=NO_CONTROL)
    reply_to: int | None = Field(default=None, ge=0)
    backfill: bool = False


NO_OPTIONS = Options()


def new_id() -> str:
    return str(uuid7())


def now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 - the moment of birth of an event, not logic that waits


def _in_utc_unless_said(time: datetime) -> datetime:
    """Two times of which only one has a zone cannot be compared; a producer that leaves it out means UTC."""
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)


_second: tuple[int, str] = (-1, "")


def now_text() -> bytes:
    """``now()`` as it stands on the wire, three times as quick: the part down to the second is kept."""
    global _second  # noqa: PLW0603 - a cache; threads may each fill it
    seconds, micros = divmod(time_ns() // 1_000, 1_000_000)
    known, prefix = _second
    if known != seconds:
        prefix = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        _second = (seconds, prefix)
    return f"{prefix}.{micros:06d}+00:00".encode()


class Event(BaseModel):
    """One change to carry to one record of one connection.

    ``connection`` is the slug of the connection, ``object`` the vendor's kind of record ("contact", "invoice",
    "message"), ``key`` the record's identity for ordering (its id, an external id, a channel) or None when events of
    this kind need no order among each other, ``fields`` the JSON body.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str = Field(default_factory=new_id, min_length=1, max_length=256, pattern=NO_CONTROL)
    operation: Operation
    connection: str = Field(min_length=1, max_length=63, pattern=r"^[^/\x00]+$")
    object: str = Field(min_length=1, max_length=255, pattern=r"^[^/\x00]+$")
    key: str | None = Field(default=None, min_length=1, max_length=1_024, pattern=NO_NUL)
    fields: dict[str, Any] = Field(default_factory=dict)
    options: Options = NO_OPTIONS
    source: str = Field(default="writeback", min_length=1, max_length=1_024, pattern=NO_NUL)
    time: Annotated[datetime, AfterValidator(_in_utc_unless_said)] = Field(default_factory=now)
    traceparent: str | None = None
    replay: Replay | None = None

    @property
    def record_key(self) -> str:
        """The key of the log's record: events with the same one are delivered in order."""
        return f"{self.object}/{self.key}" if self.key is not None else self.id
