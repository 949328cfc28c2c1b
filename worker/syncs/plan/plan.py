"""The plan of a sync: what a run would send, and the totals."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from topics.outbox.definition import TableName
from topics.settings import Settings
from worker.syncs.definition.bounds import seconds
from worker.syncs.definition.dbt import table_of
from worker.syncs.definition.model import Sync
from worker.syncs.errors import BadSync, PlanOutdated
from worker.syncs.plan.estimate import Estimate, estimate
from worker.syncs.plan.file import PlanFile
from worker.syncs.plan.guard import trips
from worker.syncs.plan.maker import Counts, Maker
from worker.syncs.plan.target import Target
from worker.syncs.snapshot.blocks import BLOCK, Blocks
from worker.syncs.source import cursor
from worker.syncs.source.feed import Feed
from worker.syncs.source.ordering import Key, Row, WrongOrder, sorted_here
from worker.syncs.source.shape import Refused, Shape, shape_of
from worker.syncs.source.statement import Rows
from worker.syncs.source.warehouse import Warehouse, engine_of
from worker.syncs.state.sent import Sent
from worker.syncs.state.syncs import Standing

Tick = Callable[[int], None]


def _silent(_rows: int) -> None:
    return


@dataclass(frozen=True)
class Source:
    """Where a sync's rows come from. Its columns are read once, when it is opened."""

    warehouse: Warehouse
    rows: Rows
    shape: Shape
    texts: frozenset[str]

    def chunks(
        self, sync: Sync, since: Any, refuse: Callable[[Refused], None], *, sort_here: bool
    ) -> Generator[Sequence[Row]]:
        """All rows in the order of their keys; in mode cursor, those from this value on.

        ``sort_here``: sort them in this process, because the database orders the key differently.
        """
        statement = self.rows.select(
            self.shape.columns,
            sync.key,
            texts=self.texts,
            cursor=(sync.cursor, since) if sync.cursor and since is not None else None,
            ordered=not sort_here,
        )
        chunks = self.warehouse.chunks(self.rows, statement)
        if not sort_here:
            yield from chunks
            return

        def keyed() -> Iterator[Sequence[Row]]:
            for chunk in chunks:
                yield self.shape.with_key(chunk, refuse)[0]

        yield from sorted_here(keyed(), self.shape.key_of, BLOCK)


def open_source(sync: Sync, settings: Settings) -> Source:
    """Raises ``BadSync``, ``SourceFailed``, ``SettingsError``."""
    warehouse = Warehouse(engine_of(settings, sync.warehouse), timeout=seconds(sync.timeout))
    rows = Rows(warehouse.dialect, sync.query, _table(sync, settings.syncs.expanduser()))
    known = warehouse.columns(rows)
    shape = shape_of(sync, list(known))
    return Source(warehouse, rows, shape, frozenset(name for name in sync.key if known[name]))


def _table(sync: Sync, folder: Path) -> TableName | None:
    if sync.model:
        return table_of(sync, folder)
    try:
        return TableName.parse(sync.table) if sync.table else None
    except ValueError as error:
        raise BadSync(f"sync {sync.name}: table: {error}") from error


@dataclass(frozen=True)
class Plan:
    """``guards``: the reasons to stop until somebody confirms. ``rows``: how many the snapshot has."""

    sync: Sync
    file: PlanFile
    counts: Counts
    estimate: Estimate
    guards: list[str]
    rows: int

    @property
    def changes(self) -> int:
        """How many events would be sent."""
        kept = self.counts.kinds["removed"] if self.sync.mode != "mirror" else 0
        return self.counts.kinds.total() - kept


@dataclass(frozen=True)
class Planner:
    """``store``: where the snapshot is."""

    store: Engine
    source: Source
    target: Target

    def make(
        self, standing: Standing, path: Path, *, failed: bool = False, after: Key | None = None, tick: Tick = _silent
    ) -> Plan:
        """Compare source and snapshot, and write the plan to the file. Sends nothing, and changes nothing else."""
        try:
            return self._make(standing, path, failed=failed, after=after, tick=tick, sort_here=False)
        except WrongOrder:
            return self._make(standing, path, failed=failed, after=after, tick=tick, sort_here=True)

    def _make(
        self, standing: Standing, path: Path, *, failed: bool, after: Key | None, tick: Tick, sort_here: bool
    ) -> Plan:
        sync, counts, shape = self.target.sync, Counts(), self.source.shape
        since = None
        if sync.cursor and standing.cursor and not failed:  # rows that failed may lie before the cursor
            since = cursor.start(standing.cursor, sync.late)
        with closing(self.source.chunks(sync, since, counts.refuse, sort_here=sort_here)) as chunks:
            feed = Feed(shape, chunks, counts.refuse, tick=tick)
            maker = Maker(
                shape=shape,
                feed=feed,
                snapshot=Blocks(self.store, sync.name),
                dead=Sent(self.store, sync.name),
                counts=counts,
                mode=sync.mode,
                record=self.target.key,
                failed=failed,
                after=after,
            )

            def foot() -> dict[str, Any]:
                return {"cursor": _further(standing.cursor, feed.highest), **counts.told()}

            file = PlanFile(path)
            file.write(self._head(standing), maker.lines(), foot)
        return Plan(
            sync=sync,
            file=file,
            counts=counts,
            estimate=estimate(self.target, counts.kinds),
            guards=list(trips(sync, counts, standing.rows)),
            rows=standing.rows,
        )

    def _head(self, standing: Standing) -> dict[str, Any]:
        return {
            "sync": self.target.sync.name,
            "mode": self.target.sync.mode,
            "connection": self.target.connection.slug,
            "version": standing.version,
            "shape": self.source.shape.fingerprint.hex(),
        }

    def check(self, standing: Standing, file: PlanFile) -> None:
        """Raises ``PlanOutdated`` unless the plan was made for this sync in its present state."""
        said, now = file.head(), self._head(standing)
        if said.get("sync") != now["sync"]:
            raise PlanOutdated(f"{file.path} is a plan of the sync {said.get('sync')!r}, not of {now['sync']!r}")
        if any(said.get(name) != now[name] for name in ("mode", "connection", "shape")):
            raise PlanOutdated(f"{file.path}: the definition of {now['sync']} has changed since: make the plan again")
        if said.get("version") != now["version"]:
            raise PlanOutdated(f"{file.path}: {now['sync']} has run since the plan was made: make it again")


def _further(before: dict[str, Any] | None, highest: Any) -> dict[str, Any] | None:
    """The cursor from which the next run begins; it never moves back."""
    if highest is None or (before is not None and cursor.value_of(before) > highest):
        return before
    return cursor.kept(highest)
