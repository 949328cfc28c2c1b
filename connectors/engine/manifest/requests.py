"""The requests of a manifest: one call, a batch of them, the question whether a call has happened, and reading."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from connectors.engine.manifest.errors import ErrorRow
from connectors.engine.manifest.parts import Part, Path, Shape, Status, Text

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]


class Request(Part):
    """One HTTP call."""

    method: Method = Field(default="POST", description="GET where it reads.")
    path: Text = Field(description="Put behind the base URL.")
    params: dict[str, Shape] = Field(default={}, description="Query parameters; lists are joined with commas.")
    headers: dict[str, Text] = Field(default={}, description="Besides those of the connector.")
    body: Shape = Field(default=None, description="The JSON body; none given: no body.")
    success: list[Status] | None = Field(default=None, description="Statuses that mean done; none given: every 2xx.")
    succeeds_when: Path | list[Path] | None = Field(
        default=None,
        description="True in the body of a real answer to this request, all of them, besides those of the connector. A "
        "2xx of which it is not true may have been done or not.",
    )
    media_type: str | list[str] | None = Field(
        default=None, description="What the body of a real answer is; none given: as the connector says."
    )
    id: Path | None = Field(default=None, description="Path to the vendor's id of the record in the answer.")
    detail: Path = Field(default="@", description="Path to what the caller gets to see of the answer.")


class Match(Part):
    """One way of telling which event a result or an error is about: all three must hold the same value."""

    input: Path = Field(description="In the item we sent.")
    result: Path | None = Field(default=None, description="In a result.")
    error: Path | None = Field(default=None, description="In an error; a value or a list of them.")


class ByMatch(Part):
    """Results and errors name their events; what names nobody is never guessed by its position."""

    by: Literal["match"]
    results: Path = Field(description="In the answer: what was done.")
    errors: Path | None = Field(default=None, description="In the answer: what was refused.")
    match: list[Match] = Field(min_length=1, description="Tried in this order.")


class ByOrder(Part):
    """One result per item, promised by the vendor to be in the order of the request."""

    by: Literal["order"]
    results: Path = Field(description="In the answer: one for each item.")
    failed: Path = Field(description="Path in a result that is true when this item failed.")


class AllOrNothing(Part):
    """Success means every item; a refusal means none."""

    by: Literal["all_or_nothing"]


Attribution = Annotated[ByMatch | ByOrder | AllOrNothing, Field(discriminator="by")]


class Batch(Request):
    """One call for many events. ``$inputs`` in the body stands for the items."""

    maximum: int = Field(ge=1, le=10_000, description="Events in one call.")
    input: Shape = Field(description="The item of one event.")
    attribution: Attribution = Field(description="Whose result is which.")
    item_status: Path | None = Field(default=None, description="Path to an HTTP status inside one item's error.")


class Find(Request):
    """Asks for many records by their unique property. ``$values`` in the body stands for the items."""

    input: Shape = Field(default="$fields.value", description="The item of one value, which is $fields.value.")
    maximum: int = Field(default=100, ge=1, le=10_000, description="Values in one question.")
    records: Path = Field(description="The records that exist.")
    value: Path = Field(description="In a record: where the properties are; the unique one is looked up there.")
    others: str | None = Field(
        default=None,
        description="A property with further values that name the record, joined with semicolons: a contact's other "
        "addresses.",
    )
    created: Path | None = Field(
        default=None, description="In a record: when it was made. One made before the event is not the event's work."
    )
    errors: Path | None = Field(default=None, description="In a partial answer: the errors.")
    absent: list[str] = Field(default=[], description="Codes of errors that only say that a record does not exist.")


class Operation(Part):
    """What is done for one operation on one kind of record."""

    request: Request | None = Field(default=None, description="The call for one event.")
    batch: Batch | None = Field(default=None, description="The call for many; without a request also for one.")
    find: Find | None = Field(default=None, description="Asks whether a call without an answer has happened.")
    maximum: int = Field(
        default=1, ge=1, le=10_000, description="Events per call, of a protocol that is not HTTP; HTTP has `batch`."
    )
    key: Shape = Field(default=None, description="The ordering key of an event, from its fields.")
    key_interval: float = Field(default=0.0, ge=0, description="Least seconds between two calls of one key.")
    idempotent: bool | None = Field(default=None, description="None given: update, upsert and delete are, add is not.")
    idempotency_header: str | None = Field(
        default=None, description="Carries the event's id; makes the call idempotent."
    )
    needs: list[str] = Field(
        default=[], description="Fields that the vendor needs, where the request does not name them one by one."
    )
    instead_of_unique: str | None = Field(
        default=None, description="A field that an event may have in place of the unique property, where there is one."
    )
    optional: list[str] = Field(
        default=[],
        description="Further fields worth knowing, for catalogues; where the request names them it is known.",
    )
    settle_after: float = Field(default=2.0, ge=0, description="Seconds before asking whether a call has happened.")
    on_unknown: Literal["retry", "dead_letter"] = Field(
        default="dead_letter", description="What becomes of a call of which nobody can say whether it has happened."
    )
    errors: list[ErrorRow] = Field(default=[], description="Rows that come before the connector's.")


class ReadRequest(Request):
    """A call that reads. Its ``$fields`` are the query of the script."""

    method: Method = Field(default="GET", description="POST for a search with a body.")
    records: Path = Field(default="@", description="The records in the answer; a single one is taken as a list of one.")
    bookmark: Path | None = Field(default=None, description="Where the next page starts; empty after the last page.")
    absent: list[Status] = Field(default=[], description="Statuses that mean: there is no such record.")
    needs: list[str] = Field(default=[], description="What a query must have, for catalogues.")
