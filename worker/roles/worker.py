"""The worker as a role: built from the settings, the store and the log of a command."""

from __future__ import annotations

from connectors import registry
from connectors.connections.store import Connection, Connections
from connectors.contract import Connector
from dead_letter.store.parking import Parking
from topics.cli.context import CommandContext
from topics.settings import seconds_of
from topics.store.orders import Orders
from worker.clock import SystemClock
from worker.process.secret_log import SecretLog
from worker.refresher.leases import Leases
from worker.refresher.reads import ReadsUnderWay
from worker.worker import Worker, WorkerSettings


def build(context: CommandContext) -> Worker:
    settings = context.settings
    connections, secret_log = Connections(context.store(), settings.secret_key), SecretLog()

    def connector(connection: Connection, secrets: dict[str, str]) -> Connector:
        return registry.build(connection, secrets, tokens=connections.tokens(connection, secrets, secret_log))

    return Worker(
        log=context.log(),
        connections=connections,
        parking=Parking(context.store()),
        orders=Orders(context.store()),
        reads=ReadsUnderWay(Leases(context.store()), SystemClock()),
        build=connector,
        settings=WorkerSettings(
            group=settings.group,
            member=settings.member,
            budget_records=settings.budget_records,
            budget_bytes=settings.budget_bytes,
            grace_seconds=settings.grace_seconds,
            keep_seconds=seconds_of(settings.events_retention),
        ),
    )
