"""The verdict on one record: compares what its events have written with its row in the warehouse. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, Literal, NamedTuple

from connectors.engine.runner.source import parse_time
from connectors.engine.written_back import same
from worker.refresher.verify.scratch import Expected

Verdict = Literal["same", "different", "missing", "changed", "waiting", "unknown"]
"""``changed``: different, but the vendor says that the record was changed after our last write. ``waiting``: we have
written it since the last refresh began. ``unknown``: the log does not have all of its events any more."""

DIFFERENCES: Final = frozenset({"different", "missing", "changed"})
APART: Final = 5.0
"""Seconds by which the vendor's clock may differ from ours; only a later change counts as somebody else's."""
OURS: Final = ("_synced_at", "_deleted", "_dlt_id", "_dlt_load_id")


class Difference(NamedTuple):
    """``turn``: the number of the event that wrote the field last."""

    sent: Any
    found: Any
    turn: int


@dataclass(frozen=True, slots=True)
class Finding:
    """``fields``: those that differ, by the names under which they were sent. ``changed_at``: by the vendor's clock."""

    verdict: Verdict
    expected: Expected
    fields: Mapping[str, Difference] = field(default_factory=dict)
    changed_at: datetime | None = None
    not_read: tuple[str, ...] = ()
    """Fields that were written, but that the refresh does not read."""

    @property
    def turn(self) -> int:
        """The number of the event to show: the last one that wrote a field which differs."""
        return max((one.turn for one in self.fields.values()), default=self.expected.turn)


@dataclass(frozen=True, slots=True)
class Judge:
    """Judges records of one kind. ``refreshed``: when their last successful refresh began, seconds since the epoch.

    ``adds_members``: the vendor adds members of its own to JSON objects inside a record.
    """

    key: str
    changed: str
    refreshed: float
    adds_members: bool = False

    def judge(self, expected: Expected, row: Mapping[str, Any] | None) -> Finding:
        if expected.time > self.refreshed:
            return Finding("waiting", expected)
        if row is None:
            return Finding("same" if expected.is_gone else "missing", expected)
        columns = _columns(tuple(row))
        at = _moment(row.get(columns.get(plain(self.changed), "")))
        differs: Verdict = "changed" if at and at.timestamp() > expected.time + APART else "different"
        if expected.is_gone:
            return Finding(differs, expected, changed_at=at)
        written = {
            name: sent
            for name, sent in expected.fields.items()
            if sent.turn > expected.deleted and plain(name) != plain(self.key)
        }
        not_read = tuple(sorted(name for name in written if plain(name) not in columns))
        differing = {
            name: Difference(sent.value, row[columns[plain(name)]], sent.turn)
            for name, sent in written.items()
            if plain(name) in columns
            and not same(sent.value, row[columns[plain(name)]], adds_members=self.adds_members)
        }
        known = {name: one for name, one in differing.items() if one.turn > expected.unread}
        if known:
            return Finding(differs, expected, known, at, not_read)
        unsure = expected.unread > expected.deleted
        return Finding("unknown" if unsure else "same", expected, changed_at=at, not_read=not_read)


@lru_cache(100)
def _columns(names: tuple[str, ...]) -> Mapping[str, str]:
    return {plain(name): name for name in names if name not in OURS}


@lru_cache(10_000)
def plain(name: str) -> str:
    """A name in a form that does not depend on spelling: ``firstName`` equals the column ``first_name``."""
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def _moment(value: Any) -> datetime | None:
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    try:
        return None if value in (None, "") else parse_time(value)
    except (ValueError, OverflowError, OSError, TypeError):
        return None
