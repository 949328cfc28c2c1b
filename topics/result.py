"""The outcome of an event, as ``writeback.results`` (packed) and ``writeback.replies`` (one each, in full) carry it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic_core import from_json, to_json

from topics.errors import MalformedEvent

VERSION = 1
MAX_PACKED = 500

Outcome = Literal["delivered", "dead", "superseded"]


@dataclass(frozen=True, slots=True)
class Result:
    """``detail``: what the vendor answered (in the ledger only its id). ``possible_duplicate``: an earlier owner may
    have made the same call and the vendor cannot be asked. ``time``: seconds since the epoch."""

    id: str
    outcome: Outcome
    connection: str
    object: str
    operation: str
    key: str | None
    topic: str
    partition: int
    offset: int
    attempts: int
    time: float
    detail: Any = None
    reason: str | None = None
    possible_duplicate: bool = False
    letter: str | None = None


_FIELDS = tuple(Result.__dataclass_fields__)


def pack(results: Sequence[Result]) -> bytes:
    """At most ``MAX_PACKED`` results as one record's value: column names once, then a row each."""
    rows = [[getattr(result, name) for name in _FIELDS] for result in results]
    return to_json({"v": VERSION, "columns": _FIELDS, "rows": rows}, inf_nan_mode="null")


def unpack(value: bytes | None) -> list[Result]:
    """The results of one record; unknown columns are ignored. Raises ``MalformedEvent``."""
    try:
        body = from_json(value or b"")
        columns = body["columns"]
        return [
            Result(**{name: item for name, item in zip(columns, row, strict=True) if name in _FIELDS})
            for row in body["rows"]
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise MalformedEvent(f"not a packed result record: {error}") from error
