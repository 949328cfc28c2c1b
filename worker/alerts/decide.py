"""Decides what an alert has to say now. Pure: it is told the time.

There is one message when a finding begins, one every ``repeat`` seconds while it lasts, and one when it is over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that an alert has found now.

    ``key``: unique among the findings of an alert, such as a connection's slug; the one finding of a query has the
    empty text. ``reason``: a sentence. ``rows``: the first rows of a query.
    """

    key: str
    count: int
    reason: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    rows: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True)
class Told:
    """What was said of a finding: it holds ``since``, was last told at ``told_at`` (seconds since the epoch)."""

    key: str
    since: float
    told_at: float
    times: int
    reason: str


@dataclass(frozen=True, slots=True)
class Raise:
    """Say that a finding holds, for the n-th time."""

    finding: Finding
    since: float
    times: int


@dataclass(frozen=True, slots=True)
class Clear:
    """Say that a finding is over."""

    told: Told


def decide(
    findings: Sequence[Finding], told: Mapping[str, Told], *, repeat: float | None, now: float
) -> Iterator[Raise | Clear]:
    """``repeat``: seconds after which a finding that still holds is told again."""
    holding = {finding.key for finding in findings}
    for finding in findings:
        before = told.get(finding.key)
        if before is None:
            yield Raise(finding, now, 1)
        elif repeat is not None and now - before.told_at >= repeat:
            yield Raise(finding, before.since, before.times + 1)
    for key, before in told.items():
        if key not in holding:
            yield Clear(before)
