"""What the shell completes: names of connections and connectors, their objects and operations.

Click asks these functions when Tab is pressed. A store or a manifest that cannot be read completes nothing: there is
nowhere to say more.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from topics.cli.context import CommandContext
from topics.errors import WritebackError

if TYPE_CHECKING:
    from connectors.engine.manifest import Manifest

READS = ("get", "list", "findone")


def connection_names(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """The connections of the store, by the names that people gave them."""
    return _beginning(_connections(ctx), incomplete)


def connector_names(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    return _beginning(_connectors(), incomplete)


def any_names(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Names of connections and of connectors."""
    return _beginning([*_connections(ctx), *_connectors()], incomplete)


def operations(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """What the connection, or the connector, that was typed before can do."""
    manifest = _manifest(ctx)
    found = [str(one) for spec in manifest.objects.values() for one in spec.operations] if manifest else []
    return _beginning(found, incomplete)


def objects(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Its kinds of records; with an operation typed before, those that have it."""
    manifest, operation = _manifest(ctx), ctx.params.get("operation")
    found = [
        name
        for name, spec in (manifest.objects.items() if manifest else ())
        if name != "any" and (operation in {None, *READS} or operation in {str(one) for one in spec.operations})
    ]
    return _beginning(found, incomplete)


def _beginning(names: Iterable[str], incomplete: str) -> list[str]:
    """Those that begin like what was typed, upper or lower case."""
    typed = incomplete.casefold()
    return [name for name in dict.fromkeys(names) if name.casefold().startswith(typed)]


def _connections(ctx: click.Context) -> list[str]:
    from connectors.connections.store import Connections  # noqa: PLC0415 - only when Tab is pressed

    context = ctx.find_object(CommandContext) or CommandContext()
    try:
        return [each.name for each in Connections(context.store()).list()]
    except WritebackError:
        return []
    finally:
        context.close()


def _connectors() -> list[str]:
    from connectors import registry  # noqa: PLC0415

    try:
        return list(registry.names())
    except WritebackError:
        return []


def _manifest(ctx: click.Context) -> Manifest | None:
    from connectors import registry  # noqa: PLC0415
    from connectors.cli.found import found_manifest  # noqa: PLC0415

    said = ctx.params.get("connection") or ctx.params.get("name")
    context = ctx.find_object(CommandContext) or CommandContext()
    try:
        if ctx.params.get("connector"):
            return registry.manifest(ctx.params["connector"])
        return found_manifest(context, said)[0] if said else None
    except WritebackError:
        return None
    finally:
        context.close()
