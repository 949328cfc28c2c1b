"""Reads the objects of a job from the vendor into the spool."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from connectors.engine.manifest.read import ColumnType
from connectors.engine.runner.source import Source, SourcePage
from worker.refresher.sync.spool import DELETED, RELATED, ROWS, Place, Spool


@dataclass(frozen=True, slots=True)
class ObjectRead:
    """One object, read and spooled. ``since``: from when the next run reads. ``whole``: all records were read."""

    source: Source
    spool: Spool
    whole: bool
    types: dict[str, ColumnType]
    rows: int
    since: datetime | None


@dataclass(slots=True)
class Reader:
    """``now``: our clock, in seconds. ``tell(object, rows)`` is called after every page."""

    now: Callable[[], float]
    tell: Callable[[str, int], None]
    _settled: bool = False

    async def read(self, source: Source, spool: Spool, since: datetime | None, fingerprint: str) -> ObjectRead:
        """Read all records, or those changed ``since``.

        Raises ``CallFailed``, ``Unreachable``; the pages that were read stay in the spool.
        """
        cursor = source.spec.cursor
        whole = since is None or cursor is None
        begin = None if whole or since is None or cursor is None else since - timedelta(seconds=cursor.overlap)
        properties = await source.properties()
        names = list(properties)
        place = spool.resume(f"{fingerprint} {begin and begin.isoformat()} {len(names)}", self.now())
        if not whole and not self._settled:
            self._settled = True  # later objects need not wait again: writes from before the run are old enough by now
            await source.settle()
        place = await self._rows(source, spool, place, names, begin, whole=whole)
        if not whole and source.spec.deleted is not None:
            place = await self._deleted(source, spool, place, names)
        keys = self._keys(source, spool)
        for name in source.spec.related:
            place = await self._related(source, spool, place, name, keys)
        types: dict[str, ColumnType] = {**properties, **source.spec.types}
        return ObjectRead(source, spool, whole, types, place.rows, _next_since(place, since, whole=whole))

    async def _rows(
        self, source: Source, spool: Spool, place: Place, names: Sequence[str], begin: datetime | None, *, whole: bool
    ) -> Place:
        if ROWS in place.done:
            self.tell(source.name, place.rows)
            return place
        since = datetime.fromisoformat(place.since) if place.since else begin
        pages = source.pages("all" if whole else "changed", names, since=since, bookmark=place.bookmark)
        async for page in pages:
            spool.add(ROWS, page.rows, source.spec.key)
            place = spool.keep(_after(place, page), self.now())
            self.tell(source.name, place.rows)
        return spool.keep(replace(place, done=(*place.done, ROWS)), self.now())

    async def _deleted(self, source: Source, spool: Spool, place: Place, names: Sequence[str]) -> Place:
        if DELETED in place.done:
            return place
        spool.begin(DELETED)
        async for page in source.pages("deleted", names):
            spool.add(DELETED, page.rows, source.spec.key)
        return spool.keep(replace(place, done=(*place.done, DELETED)), self.now())

    async def _related(self, source: Source, spool: Spool, place: Place, name: str, keys: Sequence[str]) -> Place:
        part = RELATED + name
        if part in place.done:
            return place
        spool.begin(part)
        async for rows in source.related(name, keys):
            spool.add(part, rows)
        return spool.keep(replace(place, done=(*place.done, part)), self.now())

    @staticmethod
    def _keys(source: Source, spool: Spool) -> list[str]:
        """The first column of each record's key, each once: by it the related rows are asked for."""
        if not source.spec.related:
            return []
        return list(dict.fromkeys(str(row[source.spec.key[0]]) for row in spool.rows(ROWS)))


def _after(place: Place, page: SourcePage) -> Place:
    return replace(
        place,
        rows=place.rows + len(page.rows),
        since=_iso(page.since),
        bookmark=page.bookmark,
        started=place.started or _iso(page.at),
        latest=max(filter(None, (place.latest, _iso(page.latest))), default=None),
    )


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _next_since(place: Place, since: datetime | None, *, whole: bool) -> datetime | None:
    """From when the next run reads.

    After a full read, that is the vendor's time when the reading began. A record that was changed after it was listed,
    or that was added too late to be listed, has a later time, so the next run finds it.
    """
    latest = datetime.fromisoformat(place.latest) if place.latest else None
    started = datetime.fromisoformat(place.started) if place.started else None
    if whole:
        return min(filter(None, (started, latest)), default=None) if started else latest
    return max(filter(None, (since, latest)), default=None)
