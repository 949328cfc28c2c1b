"""The definition of a sync: which rows, to which destination, when, and the guards."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from topics.event.event import Operation
from topics.warehouse import MAIN
from worker.syncs.definition.bounds import Bound, bound, seconds

Mode = Literal["diff", "mirror", "cursor", "full"]
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
MODEL = re.compile(r"\s*ref\(\s*['\"]([^'\"]+)['\"]\s*(?:,\s*['\"]([^'\"]+)['\"]\s*)?\)\s*")

MAX_CHANGES = Bound(0.20, 100)
MAX_REMOVED = Bound(0.05, 20)
MAX_NULLS = Bound(0.10, 20)
BOUND = "20% (and the default number of rows), a number of rows, {share: 20%, rows: 100}, or off"

_Column = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^\x00]+$")]
_Fields = Annotated[tuple[_Column, ...], BeforeValidator(lambda given: (given,) if isinstance(given, str) else given)]


class Sync(BaseModel):
    """A query becomes events for one connection, only what changed."""

    model_config = ConfigDict(frozen=True, extra="forbid", title="A sync of Writeback", populate_by_name=True)

    name: str = Field(default="", description="What it is called. Default: the name of the file.")
    description: str = Field(default="", description="For people.")
    warehouse: str = Field(
        default=MAIN,
        description="Where the rows are: dw (WRITEBACK_WAREHOUSE), the name of another one, or env:NAME.",
    )
    query: str | None = Field(default=None, description="A SELECT; the place for joins, conditions and expressions.")
    table: str | None = Field(default=None, description="TABLE or SCHEMA.TABLE, in place of a query.")
    model: str | None = Field(
        default=None, description="ref('customers'): a model of dbt, found in its target/manifest.json."
    )
    manifest: str = Field(default="target/manifest.json", description="Of dbt, for model; beside or above this file.")
    key: _Fields = Field(min_length=1, description="The column that tells the record, or several of them.")
    connection: str = Field(min_length=1, description="Where the rows go: a connection of `writeback connections`.")
    object: str = Field(
        min_length=1, max_length=255, pattern=r"^[^/\x00]+$", description="What a row is there: contact, company, ..."
    )
    operation: Operation = Field(
        default=Operation.UPSERT,
        description="What a new row becomes; a changed row is the same, and after an add an update.",
    )
    map: dict[_Column, _Fields] | None = Field(
        default=None,
        description="Column: field, or a list of fields. Default: each column is the field of the same name.",
    )
    constants: dict[_Column, Any] = Field(
        default_factory=dict, alias="set", description="Field: value, the same for every row."
    )
    mode: Mode = Field(
        default="diff",
        description="diff: what differs from what was sent before. mirror: the same, and what is gone from the query "
        "is removed at the destination. cursor: only rows whose cursor column has grown. full: all rows, each time.",
    )
    cursor: str | None = Field(default=None, description="For mode cursor: the column that grows with every change.")
    late: str | int | float = Field(
        default="10m",
        description="For mode cursor: how far behind the last value rows may still come in; a span of time (10m), or a "
        "number where the column is one.",
    )
    removed: Literal["delete"] | dict[_Column, Any] = Field(
        default="delete", description="For mode mirror: delete the record, or set these fields of it."
    )
    schedule: str | None = Field(
        default=None, description="every 15m, or five fields of cron (0 6 * * *). Without one it runs when told to."
    )
    timezone: str = Field(default="UTC", description="In which a cron schedule is read: Europe/Berlin.")
    max_changes: Bound | None = Field(
        default=MAX_CHANGES, description=f"A run that would change more rows stops: {BOUND}."
    )
    max_removed: Bound | None = Field(
        default=MAX_REMOVED, description="The same for rows that are gone (mode mirror). Default: 5% and 20 rows."
    )
    max_nulls: Bound | None = Field(
        default=MAX_NULLS, description="The same for a field that becomes empty. Default: 10% and 20 rows."
    )
    timeout: str = Field(default="1h", description="How long a statement may take, where the database can say so.")

    @field_validator("max_changes", "max_removed", "max_nulls", mode="before")
    @classmethod
    def _bound(cls, said: Any, info: Any) -> Any:
        default = cls.model_fields[info.field_name].default
        assert isinstance(default, Bound)
        return bound(said, default)

    @field_validator("timezone")
    @classmethod
    def _timezone_exists(cls, said: str) -> str:
        try:
            ZoneInfo(said)
        except (KeyError, ValueError, OSError):
            raise ValueError(f"there is no time zone {said!r}: write one as Europe/Berlin") from None
        return said

    @field_validator("schedule")
    @classmethod
    def _schedule_is_one(cls, said: str | None) -> str | None:
        if said is not None and not is_interval(said):
            from croniter import CroniterBadDateError, croniter  # noqa: PLC0415 - only for who has such a schedule

            if len(said.split()) != 5 or not croniter.is_valid(said):
                raise ValueError(f"{said!r} is no schedule: write every 15m, or five fields of cron: 0 6 * * *")
            try:
                croniter(said).get_next()
            except CroniterBadDateError:
                raise ValueError(f"{said!r} never comes: there is no such day") from None
        return said

    @field_validator("timeout")
    @classmethod
    def _timeout_is_a_span(cls, said: str) -> str:
        seconds(said)
        return said

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.name and not NAME.fullmatch(self.name):
            raise ValueError(f"the name {self.name!r}: it is made of a-z, 0-9, - and _, a letter or digit first")
        if len([given for given in (self.query, self.table, self.model) if given]) != 1:
            raise ValueError("give one of query, table and model")
        if self.model and not MODEL.fullmatch(self.model):
            raise ValueError(f"model: {self.model!r}: write ref('customers')")
        if (self.mode == "cursor") != (self.cursor is not None):
            raise ValueError("cursor: it names a column, and goes with mode: cursor")
        if isinstance(self.late, str):
            seconds(self.late)
        if self.operation is Operation.DELETE and self.mode in {"diff", "mirror"}:
            raise ValueError("operation: delete goes with mode full or cursor: what is in the query is deleted then")
        if self.mode == "mirror" and self.operation is Operation.MESSAGE:
            raise ValueError("a message cannot be taken back: mode mirror is for records")
        fields = [field for names in (self.map or {}).values() for field in names] + list(self.constants)
        if twice := {field for field in fields if fields.count(field) > 1}:
            raise ValueError(f"{', '.join(sorted(twice))}: two columns or constants for the same field")
        return self

    @property
    def source(self) -> str:
        """The ``source`` of its events."""
        return f"writeback sync {self.name}"


def is_interval(schedule: str) -> bool:
    try:
        return seconds(schedule) > 0
    except ValueError:
        return False
