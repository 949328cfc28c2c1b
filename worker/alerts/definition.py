"""The definition of an alert: what it looks for, whom it tells, and in which words."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from topics.event.event import Operation
from topics.warehouse import MAIN
from worker.syncs.definition.bounds import seconds

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
Event = Literal[
    "down", "quarantined", "dead_letters", "new_dead_letters", "refresh_failed", "sync_failed", "relay_behind"
]
EVENTS: tuple[Event, ...] = (
    "down", "quarantined", "dead_letters", "new_dead_letters", "refresh_failed", "sync_failed", "relay_behind",
)  # fmt: skip
DEFAULT_LETTERS = 100
DEFAULT_BEHIND = "5m"
MAX_ATTACHED = 1_000


def source_of(name: str) -> str:
    """The ``source`` of this alert's events."""
    return f"writeback alert {name}"


class Address(BaseModel):
    """Whom an alert tells: a function of a connection, and its fields, in which {text} stands for the alert's text."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    connection: str = Field(min_length=1, description="A connection of `writeback connections`.")
    object: str = Field(default="message", description="What is made there.")
    operation: Operation = Field(default=Operation.MESSAGE, description="By which function.")
    fields: dict[str, Any] = Field(
        default_factory=dict, description="Its fields; {text}, {alert} and {csv} are put in."
    )
    place: str | None = Field(
        default=None, description="In place of fields, where the connector is slack (a channel) or email (an address)."
    )

    def __str__(self) -> str:
        return f"{self.connection}:{self.place}" if self.place else self.connection


def _addresses(said: Any) -> Any:
    """``slack:QA``, an object, or a list of both."""
    given = said if isinstance(said, list | tuple) else [said]
    return tuple(_address(one) if isinstance(one, str) else one for one in given)


def _address(said: str) -> dict[str, str]:
    connection, colon, place = said.partition(":")
    if not colon or not connection or not place:
        raise ValueError(
            f"{said!r} is no address: write CONNECTION:CHANNEL (slack:QA), CONNECTION:ADDRESS, or an object"
        )
    return {"connection": connection, "place": place}


_Addresses = Annotated[tuple[Address, ...], BeforeValidator(_addresses)]
_Events = Annotated[tuple[Event, ...], BeforeValidator(lambda said: [said] if isinstance(said, str) else said)]


class Alert(BaseModel):
    """Tells somebody when a query has rows, or when something of Writeback itself is wrong; and when it is over."""

    model_config = ConfigDict(frozen=True, extra="forbid", title="An alert of Writeback", populate_by_name=True)

    name: str = Field(default="", description="What it is called. Default: the name of the file.")
    description: str = Field(default="", description="For people.")
    query: str | None = Field(default=None, description="It holds while this SELECT has more rows than above.")
    warehouse: str = Field(
        default=MAIN, description="Of the query: dw (WRITEBACK_WAREHOUSE), the name of another one, or env:NAME."
    )
    on: _Events = Field(default=(), description=f"In place of a query, one or several of {', '.join(EVENTS)}.")
    above: int | None = Field(
        default=None,
        ge=0,
        description=f"Rows of the query (default 0), or open dead letters of a connection (default {DEFAULT_LETTERS}).",
    )
    behind: str = Field(default=DEFAULT_BEHIND, description="Of relay_behind: how long its oldest row may wait.")
    connections: tuple[str, ...] = Field(default=(), description="Only these connections. Default: all.")
    every: str = Field(default="60s", description="How often it is looked at.")
    to: _Addresses = Field(min_length=1, description="Whom it tells: slack:QA, or a list.")
    otherwise: _Addresses = Field(
        default=(), description="Whom it tells as well when a connection of `to` is down itself."
    )
    text: str = Field(
        default="", description="What it says. {count}, {alert}, and the columns of the first row are put in."
    )
    cleared: str | None = Field(default=None, description="What it says when it is over; an empty text: nothing.")
    repeat: str | None = Field(default=None, description="Says it again while it holds: 4h. Default: once.")
    rows: int = Field(default=5, ge=0, le=100, description="So many rows of the query stand under the text.")
    attach: int = Field(
        default=0,
        ge=0,
        le=MAX_ATTACHED,
        description="So many rows of the query come along as CSV: in the thread of a Slack message, as a file of an "
        "email, and elsewhere where {csv} stands in a field.",
    )
    timeout: str = Field(default="60s", description="How long the query may take, where the database can say so.")

    @field_validator("every", "timeout", "behind")
    @classmethod
    def _is_a_span(cls, said: str) -> str:
        seconds(said)
        return said

    @field_validator("repeat")
    @classmethod
    def _is_a_span_or_none(cls, said: str | None) -> str | None:
        if said is not None:
            seconds(said)
        return said

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.name and not NAME.fullmatch(self.name):
            raise ValueError(f"the name {self.name!r}: it is made of a-z, 0-9, - and _, a letter or digit first")
        if bool(self.query) == bool(self.on):
            raise ValueError("give one of query and on")
        if self.connections and self.query:
            raise ValueError("connections: it goes with on; a query says for itself what it looks at")
        if self.attach and not self.query:
            raise ValueError("attach: it goes with query, which has rows")
        return self

    @property
    def subject(self) -> str:
        """What the alert looks at, in a few words."""
        return ", ".join(self.on) if self.on else "query"
