"""``writeback connections``: the SaaS accounts that events can be sent to."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from connectors.cli.authorize import authorize
from connectors.cli.catalogue import connectors
from connectors.cli.change import add, remove, set_
from connectors.cli.context import current_connections, name_argument, pending_of, tell
from topics.cli.console import FAILED, json_option, pass_context, print_json, print_listing, print_table, say
from topics.cli.context import CommandContext
from topics.errors import LogError

if TYPE_CHECKING:
    from connectors.connections.standing import Standing

__all__ = ["connections", "connectors"]

_COLUMNS = ("name", "slug", "connector", "version", "status")
_IN_STATUS = frozenset({"state", "state_reason"})
"""What an operator said: a part of the status."""


class _Status(dict[str, Any]):
    """How a connection is: an object in JSON, one line in a table."""

    def __init__(self, standing: Standing) -> None:
        super().__init__(standing.shown())
        self._text = str(standing)

    def __str__(self) -> str:
        return self._text


@click.group()
def connections() -> None:
    """The SaaS accounts that events can be sent to."""


for command in (add, set_, authorize, remove):
    connections.add_command(command)


@connections.command("list")
@json_option
@pass_context
def list_connections(context: CommandContext, /, *, as_json: bool) -> None:
    """All connections, and how each is now (`writeback results --states` has the story).

    The status is what the workers say, and what an operator said: active, waiting, throttled until, half-open, down,
    held, paused, quarantined; or no worker, and stand-by, when none has its events.
    """
    store = current_connections(context)
    standings = store.standings()
    rows: list[dict[str, Any]] = [
        asdict(connection) | {"status": _Status(standings[connection.slug])}
        for connection in store.list()
        if connection.slug in standings
    ]
    print_listing(rows, as_json=as_json, columns=_COLUMNS, empty="No connections yet: `writeback connections add`.")


@connections.command()
@name_argument
@json_option
@pass_context
def show(context: CommandContext, /, *, name: str, as_json: bool) -> None:
    """Everything about a connection but its secrets, and how many events wait for it."""
    store = current_connections(context)
    connection = store.get(name)
    shown: dict[str, Any] = asdict(connection) | {
        "secrets": store.secret_names(connection),
        "topic": context.settings.names.events_topic(connection.slug),
        "pending": _pending_or_why(context, connection.slug),
        "status": _Status(store.standings()[connection.slug]),
    }
    if as_json:
        print_json(shown)
        return
    rows = [[name.replace("_", " "), _text(value)] for name, value in shown.items() if name not in _IN_STATUS]
    print_table(("", ""), rows)


@connections.command()
@name_argument
@json_option
@pass_context
def test(context: CommandContext, /, *, name: str, as_json: bool) -> int:
    """Ask the SaaS whether it is up and takes the credentials."""
    import asyncio  # noqa: PLC0415

    from connectors.cli.probe import probe  # noqa: PLC0415

    store = current_connections(context)
    connection = store.get(name)
    secrets = store.secrets(connection)
    good, said = asyncio.run(probe(connection, secrets, store.tokens(connection, secrets)))
    if as_json:
        print_json({"connection": connection.slug, "ok": good, "reason": said})
    else:
        say(f"{connection.name}: {said}")
    return 0 if good else FAILED


@connections.command()
@name_argument
@click.argument("new_name")
@json_option
@pass_context
def rename(context: CommandContext, /, *, name: str, new_name: str, as_json: bool) -> None:
    """Give it another name; its topic keeps the old one."""
    changed = current_connections(context).update(name, name=new_name)
    topic = context.settings.names.events_topic(changed.slug)
    tell(changed, as_json=as_json, text=f"Renamed to {changed.name}; its topic stays {topic}")


@connections.command()
@name_argument
@click.option("--reason", default="paused by an operator", show_default=True)
@json_option
@pass_context
def pause(context: CommandContext, /, *, name: str, reason: str, as_json: bool) -> None:
    """Send nothing until it is resumed; events wait in its topic."""
    changed = current_connections(context).set_state(name, "paused", reason)
    tell(changed, as_json=as_json, text=f"Paused {changed.name}")


@connections.command()
@name_argument
@json_option
@pass_context
def resume(context: CommandContext, /, *, name: str, as_json: bool) -> None:
    """Send again, after a pause or a quarantine; or try now, whatever a worker waits for.

    A connection that is down, throttled or held is tried at once, its own daily limit counts anew. When the
    destination says no again, it waits again. What is changed by `connections set` is tried at once, too.
    """
    store = current_connections(context)
    before = store.standings()[store.get(name).slug]
    changed = store.resume(name)
    waited = "" if before.state in {"paused", "quarantined"} else f": it was {before.line}"
    tell(changed, as_json=as_json, text=f"Resumed {changed.name}{waited}")


@connections.command()
@name_argument
@json_option
@pass_context
def upgrade(context: CommandContext, /, *, name: str, as_json: bool) -> None:
    """Use the newest version of its connector."""
    from connectors import registry  # noqa: PLC0415

    store = current_connections(context)
    old = store.get(name)
    newest = registry.manifest(old.connector).version
    changed = old if old.version == newest else store.update(old.id, version=newest)
    text = f"{changed.name} uses {old.connector} {newest}" + ("" if changed is old else f" (it was {old.version})")
    tell(changed, as_json=as_json, text=text)


@connections.command("new-key")
def new_key() -> None:
    """Print a fresh key for WRITEBACK_SECRET_KEY."""
    from connectors.connections.secrets import new_key as make  # noqa: PLC0415

    click.echo(make())


@connections.command("rotate-secrets")
@pass_context
def rotate_secrets(context: CommandContext) -> None:
    """Encrypt all secrets anew with the first key of WRITEBACK_SECRET_KEY."""
    say(f"Encrypted the secrets of {current_connections(context).rotate_secrets()} connections anew")


def _pending_or_why(context: CommandContext, slug: str) -> int | str:
    try:
        return pending_of(context, slug)
    except LogError as error:
        return f"unknown: {error}"


def _text(value: Any) -> str:
    if value is None:
        return ""
    if type(value) is dict:
        return ", ".join(f"{name}={item}" for name, item in value.items())
    return str(value)
