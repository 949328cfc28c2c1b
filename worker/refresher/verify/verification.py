"""Compares everything that was delivered to a connection with what its last refresh has read."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from sqlalchemy import Engine

from connectors import registry
from connectors.connections.refresh.policy import refresh_policy
from connectors.connections.store import Connection, Connections
from connectors.engine.runner.runner import HttpConnector
from connectors.engine.runner.written import changed_column
from connectors.errors import BadConnection, UnknownFunction
from worker.refresher.runs import Runs
from worker.refresher.sync.destination import schema_of
from worker.refresher.verify.deliveries import Advance, Reading
from worker.refresher.verify.judge import Finding, Judge
from worker.refresher.verify.stored import Stored

NEVER_REFRESHED = 0.0
RUNS = 1_000
"""How many of the latest runs are searched for the last one of each kind of record."""


@dataclass(frozen=True, slots=True)
class Verification:
    """The deliveries, read and ready to be compared. ``events``: how many are about kinds that a refresh reads."""

    connection: Connection
    reading: Reading
    refreshed: dict[str, float]
    events: int
    warehouse: Engine

    def records(self) -> int:
        return sum(self.reading.scratch.count(kind) for kind in self.reading.scratch.kinds())

    def findings(self) -> Iterator[Finding]:
        """One for each record, a few hundred in memory at a time. Raises ``WarehouseFailed``."""
        stored = Stored(self.warehouse, schema_of(self.connection.slug))
        for kind in self.reading.scratch.kinds():
            spec = self.reading.connector.syncs()[kind]
            key = self.reading.connector.identified(kind).column
            refreshed = self.refreshed.get(kind, NEVER_REFRESHED)
            judge = Judge(key, changed_column(spec), refreshed, adds_members=spec.adds_members)
            chunks = self.reading.scratch.expected(kind)
            if judge.refreshed == NEVER_REFRESHED:
                yield from (judge.judge(expected, None) for chunk in chunks for expected in chunk)
                continue
            with stored.opened(kind, judge.key) as table:
                for chunk in chunks:
                    rows = table.rows([expected.record for expected in chunk])
                    yield from (judge.judge(expected, rows.get(expected.record)) for expected in chunk)


def connector_of(connections: Connections, connection: Connection) -> HttpConnector:
    """The connector, which knows how events look in the warehouse; reads no secret. Raises ``WritebackError``."""
    call = refresh_policy(connection).call
    if call is not None:
        raise BadConnection(
            f"{connection.name} is loaded by another tool: where that puts what it loads is not known here, so that "
            "only what our own refresh brings can be verified"
        )
    made = registry.build_to_ask(connections, connection)
    if not isinstance(made, HttpConnector) or not made.syncs():
        raise UnknownFunction(f"nothing of {connection.name} is read into the warehouse (connector {made.name})")
    return made


def wanted(connector: HttpConnector, objects: Collection[str]) -> frozenset[str] | None:
    """The kinds of records of these objects; None for all. Raises ``UnknownFunction``."""
    kinds = {name: connector.synced_as(name) for name in objects}
    if strange := sorted(name for name, kind in kinds.items() if kind is None):
        raise UnknownFunction(f"cannot verify {strange[0]}: a refresh reads {', '.join(connector.syncs())}")
    return frozenset(kind for kind in kinds.values() if kind is not None) or None


def last_refreshes(runs: Runs, connection: Connection, kinds: Collection[str]) -> dict[str, float]:
    """When the last successful run began, seconds since the epoch, by kind of record."""
    found: dict[str, float] = {}
    for run in runs.list(connection.slug, state="ok", limit=RUNS):
        for kind in kinds if run.objects is None else run.objects:
            found.setdefault(kind, run.started)
        if found.keys() >= set(kinds):
            break
    return found


def delivered(
    reading: Reading, runs: Runs, connection: Connection, warehouse: Engine, *, since: float | None, advance: Advance
) -> Verification:
    """Read the ledger and the events. ``advance`` is called with the records read. Raises ``LogUnavailable``."""
    events = reading.ledger(since, advance)
    reading.events(advance)
    refreshed = last_refreshes(runs, connection, list(reading.connector.syncs()))
    return Verification(connection, reading, refreshed, events, warehouse)
