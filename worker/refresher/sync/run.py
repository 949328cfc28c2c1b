"""One run of a job: reads the vendor, then loads the warehouse."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from connectors import registry
from connectors.connections.store import Connection, Connections
from connectors.engine.runner.pace import Pace
from connectors.engine.runner.runner import HttpConnector
from connectors.errors import UnknownFunction
from topics.warehouse import warehouse_url
from worker.refresher.job import Job
from worker.refresher.sync.failures import Altered, explain, is_another_type
from worker.refresher.sync.reading import ObjectRead, Reader
from worker.refresher.sync.spool import Spool, make_folder

if TYPE_CHECKING:
    from topics.settings import Settings
    from worker.refresher.sync.loading import Loader


WORKERS_KNOW_SECONDS = 1.5
"""Seconds until every worker has seen our lease and leaves a part of the rate limit to us: they look each second."""
LOADING = "_loading"
"""No object is called that: their names begin with a letter."""


@dataclass(frozen=True, slots=True)
class Run:
    """``now``: our clock, in seconds. ``tell(object, rows)`` is called as the reading advances.

    ``began``: when this process began, by the monotonic clock; the lease was taken before that.
    """

    settings: Settings
    connections: Connections
    now: Callable[[], float]
    tell: Callable[[str, int], None]
    began: float = 0.0

    def do(self, job: Job) -> dict[str, int]:
        """Carry out the job; returns the number of rows by object."""
        from worker.refresher.sync.loading import Loader  # noqa: PLC0415 - dlt; a wrong name needs none

        connection = self.connections.get(job.connection)
        with self._empty(connection) as folder:
            loader = Loader(warehouse_url(self.settings.warehouse), connection.slug, folder)
            known = loader.since()
            if not job.full:
                loader.check(job.objects if job.objects is not None else known)
            read = asyncio.run(self._read(job, connection, {} if job.full else known))
            try:
                rows = self._load(loader, job, read)
            except Exception as error:
                if not explain(error, connection.slug)[1]:
                    _forget(read)  # it may be corrected at the vendor by the next run
                raise
        _forget(read)
        return rows

    @contextmanager
    def _empty(self, connection: Connection) -> Iterator[Path]:
        """A folder for dlt's files, emptied of what a killed run has left."""
        folder = self._folder(connection) / LOADING
        shutil.rmtree(folder, ignore_errors=True)
        make_folder(folder)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _load(self, loader: Loader, job: Job, read: list[ObjectRead]) -> dict[str, int]:
        at = datetime.fromtimestamp(self.now(), UTC)
        if not job.full:
            return loader.load(read, at)
        try:
            loader.check([each.source.name for each in read])
            return loader.load(read, at)
        except Altered:
            return loader.load(read, at, rebuild=True)
        except Exception as error:
            if not is_another_type(error):
                raise
            return loader.load(read, at, rebuild=True)

    async def _read(self, job: Job, connection: Connection, since: dict[str, datetime]) -> list[ObjectRead]:
        secrets = self.connections.secrets(connection)
        connector = registry.build(connection, secrets, tokens=self.connections.tokens(connection, secrets))
        try:
            syncs = connector.syncs() if isinstance(connector, HttpConnector) else {}
            names = list(dict.fromkeys(job.objects)) if job.objects is not None else list(syncs)
            if not isinstance(connector, HttpConnector) or not names:
                raise UnknownFunction(
                    f"connector {connection.connector} {connection.version} says nothing of how its records are read"
                )
            pace = Pace(connector.limits, begins=self.began + WORKERS_KNOW_SECONDS)
            sources = [connector.source(name, pace) for name in names]
            reader = Reader(self.now, self.tell)
            asked = f"{connection.version} {connection.revision} {'full' if job.full else ''}"
            return [
                await reader.read(source, self._spool(connection, source.name), since.get(source.name), asked)
                for source in sources
            ]
        finally:
            await connector.close()

    def _spool(self, connection: Connection, name: str) -> Spool:
        return Spool(self._folder(connection) / name)

    def _folder(self, connection: Connection) -> Path:
        """The connection's folder; it differs for a connection of the same name in another store."""
        store = sha256(self.settings.store.encode()).hexdigest()[:12]
        return self.settings.sync_folder.expanduser() / store / connection.slug


def _forget(read: list[ObjectRead]) -> None:
    for each in read:
        each.spool.clear()
