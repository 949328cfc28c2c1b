"""``writeback connectors upgrade``: connections move to the newest versions of their connectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from connectors.cli.completion import any_names
from connectors.cli.context import current_connections
from topics.cli.console import FAILED, INCOMPLETE, OK, json_option, pass_context, print_listing
from topics.cli.context import CommandContext

if TYPE_CHECKING:
    from connectors.connections.store import Connection, Connections


@click.command()
@click.argument("names", metavar="[NAME]...", nargs=-1, shell_complete=any_names)
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@json_option
@pass_context
def upgrade(context: CommandContext, /, *, names: tuple[str, ...], dry_run: bool, as_json: bool) -> int:
    """Let connections use the newest versions of their connectors.

    \b
      writeback connectors upgrade
      writeback connectors upgrade hubspot

    NAME is a connector (all of its connections), or a connection; none given: all connections. A connection whose
    settings the newest version does not take stays as it is, and is named: exit code 3, or 1 when none could move.
    """  # noqa: D301 - click's own mark, a real backspace
    store = current_connections(context)
    chosen = _chosen(store, names)
    rows = [_upgraded(store, one, dry_run=dry_run) for one in chosen]
    columns = ("name", "connector", "was", "version", "note")
    print_listing(rows, as_json=as_json, columns=columns, empty="No connections to upgrade.")
    refused = sum(1 for row in rows if row["refused"])
    return OK if not refused else FAILED if refused == len(rows) else INCOMPLETE


def _chosen(store: Connections, names: tuple[str, ...]) -> list[Connection]:
    """Raises ``UnknownConnection`` for a name that is neither."""
    every = store.list()
    if not names:
        return every
    found: dict[int, Connection] = {}
    for name in names:
        for one in [each for each in every if each.connector == name] or [store.get(name)]:
            found[one.id] = one
    return list(found.values())


def _upgraded(store: Connections, old: Connection, *, dry_run: bool) -> dict[str, Any]:
    from connectors import registry  # noqa: PLC0415
    from connectors.errors import BadConnection, BadManifest  # noqa: PLC0415

    row = {"name": old.name, "connector": old.connector, "was": old.version, "version": old.version, "refused": False}
    try:
        newest = registry.manifest(old.connector).version
        if newest == old.version:
            return {**row, "note": "the newest"}
        registry.check(old.connector, newest, old.settings, sorted(store.secret_names(old)))
        if not dry_run:
            store.update(old.id, version=newest)
    except (BadConnection, BadManifest) as error:
        return {**row, "refused": True, "note": str(error)}
    return {**row, "version": newest, "note": "would be upgraded" if dry_run else "upgraded"}
