"""What a name on the command line stands for: a connection, or a connector."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from topics.cli.context import CommandContext

if TYPE_CHECKING:
    from connectors.engine.manifest import Manifest


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
