"""How a connection is, in one word and one line: the same in listings, ``doctor``, receipts and the worker's endpoint.

Three know something of it: the store (an operator's pause, a quarantine), the workers that have its partitions, and
whoever looks whether such a worker still lives. ``standings`` puts their words together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal

from connectors.connections.table import Connection
from topics.event.result import ConnectionState

State = ConnectionState | Literal["stand-by", "no worker"]
"""What a worker says of a connection, and what can only be seen from outside: ``no worker`` lives; all that live
``stand-by``, without a partition."""

SEVERITY: Final[tuple[State, ...]] = ("active", "waiting", "throttled", "half-open", "down", "held")
"""Of what several owners say of one connection the last in this order is told."""

_UNTIL: Final[Mapping[State, str]] = {"throttled": "until", "down": "next try at", "held": "next try at"}
_ADVICE: Final[Mapping[State, str]] = {
    "down": "`writeback connections set {slug}` corrects its settings, `writeback connections resume {slug}` tries now",
    "throttled": "`writeback connections resume {slug}` tries now",
    "paused": "`writeback connections resume {slug}` lets it go on",
    "quarantined": "`writeback connections resume {slug}` lets it go on",
    "no worker": "start one: `writeback up`, or `writeback worker`",
}


@dataclass(frozen=True, slots=True)
class Standing:
    """``connection``: the slug. ``since``, ``until``: seconds since the epoch, where they are known."""

    connection: str
    state: State
    reason: str = ""
    since: float | None = None
    until: float | None = None

    @property
    def goes_on(self) -> bool:
        """Events go out."""
        return self.state == "active"

    @property
    def advice(self) -> str:
        """What an operator can do, or nothing. What ends a hold is in its reason: each has its own."""
        return _ADVICE.get(self.state, "").format(slug=self.connection)

    @property
    def line(self) -> str:
        """State, until when, why, since when."""
        until = f", {_UNTIL.get(self.state, 'until')} {moment(self.until)}" if self.until else ""
        until = until.removeprefix(",") if self.state == "throttled" else until
        reason = f": {self.reason}" if self.reason else ""
        since = f" (since {moment(self.since)})" if self.since and self.state != "active" else ""
        return f"{self.state}{until}{reason}{since}"

    def __str__(self) -> str:
        return f"{self.line}; {self.advice}" if self.advice else self.line

    def shown(self) -> dict[str, Any]:
        """For ``--json`` and the worker's endpoint."""
        return {
            "state": self.state,
            "reason": self.reason,
            "since": self.since,
            "until": self.until,
            "advice": self.advice,
        }


@dataclass(frozen=True, slots=True)
class Sighting:
    """What one worker says of one connection."""

    worker: str
    standing: Standing


@dataclass(frozen=True, slots=True)
class LiveWorker:
    """A worker as the store knows it: ``silent``, seconds since its last sign of life; ``owned``, its partitions."""

    id: str
    name: str
    owned: int
    silent: float

    @property
    def alive(self) -> bool:
        return self.silent <= SILENT_SECONDS


SILENT_SECONDS = 15.0
"""A worker that has not beaten for so long is taken for dead: three beats, and what a busy store may take."""


def standings(
    connections: Iterable[Connection], sightings: Iterable[Sighting], workers: Sequence[LiveWorker]
) -> dict[str, Standing]:
    """By slug: of every connection in the store, and of what workers hold without one."""
    live = {worker.id for worker in workers if worker.alive}
    worst: dict[str, Standing] = {}
    for sighting in sightings:
        if sighting.worker in live:
            said = sighting.standing
            worst[said.connection] = max(worst.get(said.connection, said), said, key=_severity)
    for connection in connections:
        worst[connection.slug] = _of(connection, worst.get(connection.slug), workers)
    return worst


def _of(connection: Connection, said: Standing | None, workers: Sequence[LiveWorker]) -> Standing:
    slug = connection.slug
    if connection.state != "active":
        since = said.since if said is not None and said.state == connection.state else None
        return Standing(slug, connection.state, connection.state_reason, since)
    if said is not None and said.state not in {"paused", "quarantined"}:
        return said
    alive = [worker for worker in workers if worker.alive]
    if not alive:
        return Standing(slug, "no worker", _last_seen(workers))
    if said is None and not any(worker.owned for worker in alive):
        names = ", ".join(worker.name for worker in alive)
        return Standing(slug, "stand-by", f"{names} has no partition yet: it has just begun, or another has its turn")
    return Standing(slug, "active" if said is None else "waiting", "" if said is None else "it is being resumed")


def _last_seen(workers: Sequence[LiveWorker]) -> str:
    if not workers:
        return "none runs on this store"
    last = min(workers, key=lambda worker: worker.silent)
    return f"none runs; {last.name} was last heard of {last.silent:,.0f} s ago"


def _severity(standing: Standing) -> int:
    return SEVERITY.index(standing.state) if standing.state in SEVERITY else len(SEVERITY)


def moment(seconds: float) -> str:
    """A moment (seconds since the epoch) as people read it, UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
