"""What alerts find now: the rows of a query, or what is wrong with Writeback itself, read from the store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from connectors.connections.standing import Standing, moment
from connectors.connections.store import Connections
from dead_letter.store.filters import Filter
from dead_letter.store.store import LetterStore
from topics.errors import WritebackError
from topics.outbox.engine import open_engine
from topics.outbox.outbox import Outbox
from topics.settings import Settings
from topics.warehouse import explained
from worker.alerts.decide import Finding
from worker.alerts.definition import DEFAULT_LETTERS, Alert, Event
from worker.refresher.runs import Runs as Refreshes
from worker.relay.relays import warehouses
from worker.syncs.definition.bounds import seconds
from worker.syncs.source.statement import Rows
from worker.syncs.source.warehouse import Warehouse, engine_of
from worker.syncs.state.runs import Runs as SyncRuns

FAILED = "*failed"
"""The key of the finding which says that the alert's own query fails."""
DOWN = frozenset({"down", "held"})
GROUPS = 200


class Findings:
    """``now``: seconds since the epoch."""

    def __init__(self, settings: Settings, store: Engine) -> None:
        self._settings = settings
        self._store = store

    def of(self, alert: Alert, now: float) -> list[Finding]:
        """The findings of an alert now. An alert for some connections also gets findings of none, such as a late relay.

        Raises ``StoreUnavailable``, ``UnknownConnection``; and for a query ``SourceFailed``, ``SettingsError``.
        """
        if alert.query:
            return list(self._rows(alert))
        connections = Connections(self._store)
        wanted = {connections.get(name).slug for name in alert.connections}
        found = [finding for event in alert.on for finding in self._event(alert, event, now)]
        return [one for one in found if not wanted or one.fields.get("connection") in {*wanted, None}]

    def _rows(self, alert: Alert) -> Iterator[Finding]:
        with closing(
            Warehouse(engine_of(self._settings, alert.warehouse), timeout=seconds(alert.timeout))
        ) as warehouse:
            asked = Rows(warehouse.dialect, query=alert.query)
            names = list(warehouse.columns(asked))
            first: list[dict[str, Any]] = []
            count = 0
            for chunk in warehouse.chunks(asked, asked.select(names, (), ordered=False)):
                count += len(chunk)
                missing = max(alert.rows, alert.attach, 1) - len(first)
                first += [dict(zip(names, row, strict=True)) for row in islice(chunk, max(0, missing))]
        if count > (alert.above or 0):
            told = f"the query has {count:,} {'row' if count == 1 else 'rows'}"
            yield Finding(
                "", count, told, fields=first[0] if first else {}, rows=first[: max(alert.rows, alert.attach)]
            )

    def _event(self, alert: Alert, event: Event, now: float) -> Iterator[Finding]:
        match event:
            case "down":
                yield from self._standing(event, DOWN)
            case "quarantined":
                yield from self._standing(event, frozenset({"quarantined"}))
            case "dead_letters":
                yield from self._letters(DEFAULT_LETTERS if alert.above is None else alert.above)
            case "new_dead_letters":
                yield from self._kinds()
            case "refresh_failed":
                yield from self._refreshes()
            case "sync_failed":
                yield from self._syncs()
            case "relay_behind":
                yield from self._relays(seconds(alert.behind), now)

    def _standing(self, event: Event, states: frozenset[str]) -> Iterator[Finding]:
        for slug, standing in self.standings().items():
            if standing.state in states:
                fields = {"connection": slug, "reason": standing.reason, "state": standing.state}
                advice = f" {standing.advice}." if standing.advice else ""
                yield Finding(f"{event}:{slug}", 1, f"the connection {slug} is {standing.line}.{advice}", fields)

    def standings(self) -> dict[str, Standing]:
        """The state of every connection."""
        return Connections(self._store, self._settings.secret_key).standings()

    def _letters(self, above: int) -> Iterator[Finding]:
        counts: dict[str, int] = {}
        for group in self._groups():
            counts[group.connection] = counts.get(group.connection, 0) + group.count
        for slug, count in counts.items():
            if count > above:
                told = f"{slug} has {count:,} open dead letters. `writeback dead-letters list --connection {slug}`"
                yield Finding(f"dead_letters:{slug}", count, told, {"connection": slug})

    def _kinds(self) -> Iterator[Finding]:
        """Open dead letters by the kind of failure; a kind is told once, until no letter of it is open."""
        for group in self._groups():
            told = (
                f"{group.connection} has {group.count:,} open dead letters of one kind ({group.verdict}), the first of "
                f"{moment(group.first_seen)}: {group.sample}"
            )
            fields = {"connection": group.connection, "reason": group.sample, "verdict": group.verdict}
            yield Finding(f"kind:{group.connection}:{group.fingerprint}"[:255], group.count, told, fields)

    def _groups(self) -> Any:
        return LetterStore(self._store).groups(Filter(state="open"), limit=GROUPS)

    def _refreshes(self) -> Iterator[Finding]:
        runs = Refreshes(self._store)
        for connection in Connections(self._store).list():
            ended = [run for run in runs.list(connection.slug, limit=5) if run.state in {"ok", "failed", "dead"}]
            if ended and ended[0].state != "ok":
                told = f"the refresh of {connection.slug} failed: {ended[0].error}. `writeback refreshes`"
                fields = {"connection": connection.slug, "reason": ended[0].error}
                yield Finding(f"refresh:{connection.slug}", 1, told, fields)

    def _syncs(self) -> Iterator[Finding]:
        seen: set[str] = set()
        for run in SyncRuns(self._store).list(limit=GROUPS):
            if run.sync in seen or run.state == "running":
                continue
            seen.add(run.sync)
            if run.state in {"failed", "stopped", "lost"}:
                told = f"the sync {run.sync} has {_ENDS[run.state]}: {run.error}. `writeback syncs runs {run.sync}`"
                fields = {"connection": run.connection, "reason": run.error, "sync": run.sync}
                yield Finding(f"sync:{run.sync}", 1, told, fields)

    def _relays(self, behind: float, now: float) -> Iterator[Finding]:
        for url in warehouses(self._settings):
            name = url.render_as_string(hide_password=True)
            engine = open_engine(url)
            try:
                count, oldest = Outbox(engine).backlog() if Outbox(engine).exists() else (0, None)
            except (WritebackError, DBAPIError) as error:
                told = f"the outbox of {name} cannot be read: {explained(error)}"
                yield Finding(f"relay:{name}"[:255], 1, told, {"reason": told})
                continue
            finally:
                engine.dispose()
            waits = now - oldest.timestamp() if oldest is not None else 0.0
            if waits > behind:
                told = (
                    f"{count:,} rows wait in the outbox of {name}, the oldest for {waits:,.0f} s: is a relay running?"
                )
                yield Finding(f"relay:{name}"[:255], count, told, {"warehouse": name})


_ENDS = {"failed": "failed", "stopped": "been stopped by a guard", "lost": "died"}


def failing(alert: Alert, error: WritebackError) -> Finding:
    """The finding that an alert could not look: silence would be taken for good news."""
    reason = " ".join(str(error).split())
    return Finding(FAILED, 1, f"the alert {alert.name} cannot look: {reason}", {"reason": reason})
