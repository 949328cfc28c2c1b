"""The definition of a trigger: which rows of which table become which events."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from topics.event.event import Operation

Change = Literal["insert", "update", "delete"]
CHANGES: tuple[Change, ...] = ("insert", "update", "delete")

NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
"""A trigger's name is part of names in the database, which PostgreSQL cuts at 63 bytes."""

_Column = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^\x00]+$")]


class TableName(BaseModel):
    """A table; ``schema_name`` is None on SQLite, and for PostgreSQL's ``public``."""

    model_config = ConfigDict(frozen=True)

    name: _Column
    schema_name: _Column | None = None

    @classmethod
    def parse(cls, text: str) -> TableName:
        """Reads ``contacts``, ``public.contacts``, or, where a name holds a dot, ``"a.b"."c"``."""
        parts = [quoted.replace('""', '"') or plain for quoted, plain in _NAME_PARTS.findall(text)]
        if not parts or len(parts) > 2 or _NAME_PARTS.sub("", text).strip("."):
            raise ValueError(f"{text!r} is no table: write TABLE or SCHEMA.TABLE")
        return cls(name=parts[-1], schema_name=parts[0] if len(parts) == 2 else None)

    def __str__(self) -> str:
        return f"{self.schema_name}.{self.name}" if self.schema_name else self.name


_NAME_PARTS = re.compile(r'"((?:[^"]|"")+)"|([^".]+)')


class Trigger(BaseModel):
    """Rows of ``table`` become events of ``object`` on ``connection`` (its slug).

    ``operations``: the operation that an insert, an update and a delete each become; one that is missing sends nothing.
    ``key``: the columns that identify the record; the event's key is their values, joined by ``/``. ``fields``: field
    of the event → column. ``constants``: field → value, the same in every event. ``when``: an SQL condition over the
    row's columns, and over ``new.`` and ``old.``.

    An insert sends all fields. An update sends those that changed, and nothing when none did. A delete sends the key.
    An event that is an add or a message has all fields, whatever the change was. Updates, upserts and deletes also
    carry the key's columns, under the name of their field, or else of the column. A change of the key itself is a
    delete of the old record and an insert of the new one, as in Debezium.

    ``unchanged``: whether to drop an update or upsert that only repeats what was sent last for its record.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    table: TableName
    connection: str = Field(min_length=1, max_length=63)
    object: str = Field(min_length=1, max_length=255, pattern=r"^[^/\x00]+$")
    operations: dict[Change, Operation] = Field(min_length=1)
    key: tuple[_Column, ...] = Field(min_length=1)
    fields: dict[_Column, _Column]
    constants: dict[_Column, Any] = Field(default_factory=dict)
    when: str | None = None
    unchanged: Literal["drop", "send"] = "send"

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if not NAME.fullmatch(self.name):
            raise ValueError(
                f"the name {self.name!r} has other characters than a-z, 0-9 and _, begins with none of a-z, or is "
                "longer than 40"
            )
        if not self.fields and set(self.operations) - {"delete"}:
            raise ValueError("no column is mapped to a field: --map field=column")
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that are read, each once."""
        return tuple(dict.fromkeys((*self.key, *self.fields.values())))

    @property
    def identity(self) -> dict[str, str]:
        """Field → column, for the columns of the key; the field is the column's own name where it has no field."""
        field_of = {column: field for field, column in reversed(self.fields.items())}
        return {field_of.get(column, column): column for column in self.key}

    def identity_of(self, change: Change) -> dict[str, str]:
        """The key's fields that an event of this change carries; none for an add, whose record has no id yet."""
        return {} if self._makes_a_record(change) else self.identity

    def fields_of(self, change: Change) -> dict[str, str]:
        return self.fields if change != "delete" or self._makes_a_record(change) else {}

    def constants_of(self, change: Change) -> dict[str, Any]:
        return self.constants if change != "delete" or self._makes_a_record(change) else {}

    def only_changed(self, change: Change) -> bool:
        """Whether an event of this change leaves out the fields that did not change."""
        return change == "update" and not self._makes_a_record(change)

    def _makes_a_record(self, change: Change) -> bool:
        return self.operations[change] in {Operation.ADD, Operation.MESSAGE}

    def source(self) -> str:
        return f"writeback trigger {self.name}"
