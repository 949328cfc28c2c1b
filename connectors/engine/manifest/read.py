"""How a kind of record is read: by scripts, and into the warehouse (``Sync``).

``Sync`` says how all of it is read, what has changed, what is gone, and what belongs to it. In its requests
``$fields.since`` is the time from which changes are wanted, ``$fields.names`` the names that ``properties`` found, and
``$bookmark?`` where the next page starts.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from connectors.engine.manifest.parts import Part, Path, Shape
from connectors.engine.manifest.requests import ReadRequest, Request

ColumnName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
ColumnType = Literal["text", "bigint", "double", "decimal", "bool", "timestamp", "date", "json"]


class PagedRequest(ReadRequest):
    """A call whose answer comes in pages."""

    pages: Literal["bookmark", "offset", "number", "url", "link"] = Field(
        default="bookmark",
        description="What leads to the next page: the bookmark in the answer; an offset or a page number, which "
        "$bookmark stands for; the address that the bookmark's path or the Link header holds.",
    )
    page_size: int = Field(default=100, ge=1, description="offset and number: a shorter page is the last one.")
    first: int = Field(default=1, ge=0, description="number: what the first page is called.")


class Cursor(Part):
    """How changes are told from what is known: by a time in each record."""

    path: Path = Field(description="In a record: when it was changed.")
    write: Literal["iso", "seconds", "milliseconds"] = Field(default="iso", description="How $fields.since is written.")
    overlap: float = Field(
        default=60.0, ge=0, description="Seconds before the last change that are read again: searches lag behind."
    )
    settle: float = Field(
        default=0.0, ge=0, description="Seconds to wait before the first question, for the same reason."
    )
    ordered: bool = Field(
        default=False,
        description="Changes come in their order: the next question begins at the last change seen, so that a record "
        "which changes meanwhile moves no other out of sight.",
    )


class Properties(PagedRequest):
    """Asks which properties a kind of record has, and of which type."""

    name: Path = "name"
    type: Path = "type"
    types: dict[str, ColumnType] = Field(default={}, description="The vendor's types as columns; any other is text.")


class Related(Request):
    """Asks for what belongs to many records at once; it goes into a table of its own, ``<object>_<name>``.

    ``$inputs`` in the body stands for the items. The table's first column is ``<object>_id``.
    """

    input: Shape = Field(description="The item of one record: its key is $fields.key.")
    maximum: int = Field(default=100, ge=1, le=10_000, description="Records asked about in one call.")
    records: Path = Field(description="In the answer: one entry for each record that has any.")
    of: Path = Field(description="In an entry: the key of the record.")
    rows: Path = Field(description="In an entry: what belongs to it.")
    more: Path | None = Field(
        default=None, description="In an entry: where the rest begins, $fields.after in the next."
    )
    columns: dict[ColumnName, Path] = Field(min_length=1, description="What is kept of each; together they are unique.")


class Sync(Part):
    """One kind of record in the warehouse."""

    key: list[ColumnName] = Field(default=["id"], min_length=1, description="The columns that are the primary key.")
    spread: Path = Field(default="@", description="In a record: the object whose members become columns.")
    columns: dict[ColumnName, Path] = Field(default={}, description="Further columns, by their paths in a record.")
    types: dict[ColumnName, ColumnType] = Field(default={}, description="Types of columns; any other is found out.")
    adds_members: bool = Field(
        default=False, description="What is sent of an object inside a record comes back with further members."
    )
    properties: Properties | None = None
    all: PagedRequest
    changed: PagedRequest | None = None
    cursor: Cursor | None = None
    deleted: PagedRequest | None = Field(default=None, description="Records that are gone.")
    related: dict[ColumnName, Related] = Field(default={})

    @model_validator(mode="after")
    def _changes_have_a_cursor(self) -> Sync:
        if (self.changed is None) != (self.cursor is None):
            raise ValueError("changed and cursor belong together: give both, or neither")
        if self.deleted is not None and self.changed is None:
            raise ValueError("deleted belongs to changed: where all is read each time, what is gone is not there")
        return self


class Read(Part):
    """``get`` by id, ``find`` by searchfield and searchterm (``find_unique`` where the field is unique), ``list``."""

    get: ReadRequest | None = Field(default=None, description="One record, by its id.")
    list: ReadRequest | None = Field(default=None, description="Records, page by page.")
    find: ReadRequest | None = Field(default=None, description="Those with $fields.searchterm in $fields.searchfield.")
    find_unique: ReadRequest | None = Field(default=None, description="The same, where the field is the unique one.")
    sync: Sync | None = Field(default=None, description="How a refresh reads it into the warehouse.")
