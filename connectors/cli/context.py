"""What the commands about connections stand on: the store, how much waits, and how a change is told."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from connectors.cli.completion import connection_names
from topics.cli.console import print_json, say
from topics.cli.context import CommandContext

if TYPE_CHECKING:
    from connectors.connections.store import Connection, Connections

name_argument = click.argument("name", shell_complete=connection_names)


def current_connections(context: CommandContext) -> Connections:
    from connectors import registry  # noqa: PLC0415
    from connectors.connections.store import Connections  # noqa: PLC0415 - SQLAlchemy only where there is a table

    return Connections(context.store(), context.settings.secret_key, check=registry.check)


def pending_of(context: CommandContext, slug: str) -> int:
    from topics.log.waiting import count_waiting  # noqa: PLC0415 - help needs no log

    topic = context.settings.names.events_topic(slug)
    lag = count_waiting(context.log(), context.settings.group, topic)
    return sum(behind.records for partition, behind in lag.items() if partition.topic == topic)


def tell(connection: Connection, *, as_json: bool, text: str) -> None:
    if as_json:
        print_json(asdict(connection))
    else:
        say(text)
