"""What the commands about connections stand on: the store, how much waits, and how a change is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from topics.cli.console import print_json, say
from topics.cli.context import CommandContext

if TYPE_CHECKING:
    from connectors.connections.store import Connection, Connections
    from connectors.engine.manifest import Manifest

name_argument = click.argument("name")


def current_connections(context: CommandContext) -> Connections:
    from connectors import registry  # noqa: PLC0415
    from connectors.connections.store import Connections  # noqa: PLC0415 - SQLAlchemy only where there is a table

    return Connections(context.store(), context.settings.secret_key, check=registry.check)


def found_manifest(context: CommandContext, name: str) -> tuple[Manifest, str, Mapping[str, Any]]:
    """Of a connection its manifest, its name and its settings; or a connector's manifest, by its name.

    Raises ``BadConnection``, ``BadManifest``.
    """
    from connectors import registry  # noqa: PLC0415
    from connectors.connections.store import Connections  # noqa: PLC0415
    from connectors.errors import UnknownConnection  # noqa: PLC0415

    try:
        connection = Connections(context.store(), context.settings.secret_key).get(name)
    except UnknownConnection:
        return registry.manifest(name), name, {}
    return registry.manifest(connection.connector, connection.version), connection.name, connection.settings


def pending_of(context: CommandContext, slug: str) -> int:
    topic = context.settings.names.events_topic(slug)
    lag = context.log().lag(context.settings.group, topic)
    return sum(behind.records for partition, behind in lag.items() if partition.topic == topic)


def tell(connection: Connection, *, as_json: bool, text: str) -> None:
    if as_json:
        print_json(asdict(connection))
    else:
        say(text)
