"""The refresher as a role."""

from __future__ import annotations

import os
from socket import gethostname
from typing import TYPE_CHECKING

from connectors import registry
from connectors.connections.store import Connection, Connections
from topics.cli.context import CommandContext
from topics.settings import seconds_of
from topics.store.orders import Orders
from worker.clock import SystemClock
from worker.refresher.child import ChildRun, command_for
from worker.refresher.leases import Leases, Watch
from worker.refresher.refresher import Refresher, RefresherSettings
from worker.refresher.run import Runner
from worker.refresher.runs import Runs

if TYPE_CHECKING:
    from prometheus_client.core import Metric


def build(context: CommandContext) -> Refresher:
    settings, clock, store = context.settings, SystemClock(), context.store()
    connections = Connections(store, settings.secret_key, check=registry.check)

    def upgrade(connection: Connection) -> Connection:
        newest = registry.manifest(connection.connector).version
        return connection if connection.version == newest else connections.update(connection.id, version=newest)

    return Refresher(
        log=context.log(),
        connections=connections,
        runner=Runner(
            Leases(store),
            Runs(store),
            lambda connection: ChildRun(command_for(connection)),
            clock,
            holder=f"{gethostname()}:{os.getpid()}",
            watch=Watch(),
        ),
        upgrade=upgrade,
        settings=RefresherSettings(
            at_once=settings.refreshes_at_once,
            group=settings.names.refresher_group,
            worker_group=settings.group,
            keep_seconds=seconds_of(settings.events_retention),
        ),
        clock=clock,
        orders=Orders(store),
    )


async def collect(refresher: Refresher) -> list[Metric]:
    """Its metrics."""
    from worker.refresher import metrics  # noqa: PLC0415 - most run without a metrics port

    return list(metrics.collect(refresher))
