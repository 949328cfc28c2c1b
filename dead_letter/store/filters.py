"""Which letters are meant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import ColumnElement

from dead_letter.store.tables import LETTERS

State = Literal["open", "replayed", "discarded"]


@dataclass(frozen=True, slots=True)
class Filter:
    """All that is given must hold.

    ``reason``: a part of it, upper and lower case alike. Times in epoch seconds, ``since`` included and ``until`` not.
    """

    ids: Sequence[str] | None = None
    connection: str | None = None
    object: str | None = None
    operation: str | None = None
    key: str | None = None
    verdict: str | None = None
    status: int | None = None
    reason: str | None = None
    fingerprint: str | None = None
    state: State | None = None
    since: float | None = None
    until: float | None = None

    def clauses(self) -> list[ColumnElement[bool]]:
        columns = LETTERS.c
        same = {
            columns.connection: self.connection,
            columns.object: self.object,
            columns.operation: self.operation,
            columns.event_key: self.key,
            columns.verdict: self.verdict,
            columns.status: self.status,
            columns.state: self.state,
        }
        clauses: list[ColumnElement[bool]] = [column == value for column, value in same.items() if value is not None]
        if self.ids is not None:
            clauses.append(columns.id.in_(self.ids))
        if self.reason is not None:
            clauses.append(columns.reason.icontains(self.reason, autoescape=True))
        if self.fingerprint is not None:
            clauses.append(columns.fingerprint.startswith(self.fingerprint, autoescape=True))
        if self.since is not None:
            clauses.append(columns.time >= self.since)
        if self.until is not None:
            clauses.append(columns.time < self.until)
        return clauses


EVERYTHING = Filter()
