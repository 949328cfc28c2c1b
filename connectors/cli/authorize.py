"""``writeback connections authorize``: a person lets the app in, in a browser, which brings a refresh token."""

from __future__ import annotations

import asyncio
import secrets
import webbrowser
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from connectors.cli.context import current_connections, name_argument, tell
from topics.cli.console import json_option, note, pass_context
from topics.cli.context import CommandContext

if TYPE_CHECKING:
    from connectors.engine.manifest import Manifest
    from connectors.engine.manifest.auth import OAuth2

DEFAULT_PORT = 8921


class Browser(NamedTuple):
    """How a person is asked."""

    browser: bool
    port: int
    wait: float = 300.0


@click.command()
@name_argument
@click.option("--browser/--no-browser", default=True, help="--no-browser: print the address, and open nothing.")
@click.option(
    "--port",
    type=click.IntRange(1, 65_535),
    default=DEFAULT_PORT,
    show_default=True,
    help="The vendor's app must know http://localhost:PORT/callback as a redirect address.",
)
@click.option("--wait", type=click.FloatRange(1, 3_600), default=300, show_default=True, help="Seconds for a yes.")
@json_option
@pass_context
def authorize(context: CommandContext, /, *, name: str, browser: bool, port: int, wait: float, as_json: bool) -> None:
    """Let a person say yes in a browser, and keep the refresh token that the vendor gives.

    \b
      writeback connections authorize xero
      writeback connections authorize xero --no-browser   # on a server: open the address elsewhere

    The browser comes back to this machine. From a server without a browser, forward the port from yours:
    `ssh -L 8921:localhost:8921 SERVER`. Workers take the new token over within a second.
    """  # noqa: D301 - click's own mark for lines that it shall not join
    from connectors import registry  # noqa: PLC0415

    store = current_connections(context)
    connection = store.get(name)
    manifest = registry.manifest(connection.connector, connection.version)
    way = way_of(manifest, connection.name)
    # any other secret may lead nowhere, the old refresh token above all: it is not opened
    unread = dict.fromkeys(store.secret_names(connection), "unread")
    held = unread | store.secrets(connection, needed_by(way) - {way.refresh_token})
    fresh = asked(manifest, connection.settings, held, Browser(browser, port, wait), connection.name)
    changed = store.update(connection.id, secrets=fresh)
    tell(changed, as_json=as_json, text=f"Authorized {changed.name}: {manifest.title} has given a refresh token")


def way_of(manifest: Manifest, name: str) -> OAuth2:
    """The way in that a person opens. Raises ``click.UsageError`` where there is none."""
    from connectors.engine.auth.consent import asked_of_a_person  # noqa: PLC0415

    way = asked_of_a_person(manifest.auth)
    if way is None:
        raise click.UsageError(
            f"{manifest.title} has no page on which a person says yes: `writeback connections set {name} --secret "
            "NAME` gives it another secret"
        )
    return way


def needed_by(way: OAuth2) -> set[str]:
    """The settings and secrets that it is filled in from."""
    from connectors.engine.manifest.auth import settings_of, texts_of  # noqa: PLC0415
    from connectors.engine.template.placeholders import references  # noqa: PLC0415

    return {*settings_of(way), *(name for _, name in references(list(texts_of(way))))}


def asked(
    manifest: Manifest, settings: Mapping[str, Any], held: Mapping[str, str], how: Browser, name: str
) -> dict[str, str]:
    """The secrets that a person's yes has brought. ``held``: the others, opened."""
    from connectors.cli.callback import PATH, Callback  # noqa: PLC0415
    from connectors.connections.references import is_reference  # noqa: PLC0415
    from connectors.engine.auth.consent import ConsentRequest  # noqa: PLC0415
    from connectors.engine.auth.endpoint import NoToken  # noqa: PLC0415
    from connectors.engine.manifest.configuration import values_of  # noqa: PLC0415
    from connectors.engine.transport.addresses import AddressGuard  # noqa: PLC0415

    way = way_of(manifest, name)
    values = values_of(manifest, settings, {**held, way.refresh_token: "not yet"})
    state, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(48)
    with Callback(how.port, state, manifest.title) as callback:
        asking = ConsentRequest(way, values, f"http://localhost:{how.port}{PATH}", state, verifier)
        note(f"Say yes on this page of {manifest.title}, within {how.wait:g} s:\n\n  {asking.page}\n")
        if how.browser and not webbrowser.open(asking.page):
            note("No browser opens here: copy the address into one.")
        code = callback.wait(how.wait)
    try:
        given = asyncio.run(asking.secrets(code, AddressGuard(settings.get("allow_private_addresses", False))))
    except NoToken as none:
        raise click.ClickException(none.verdict.reason) from none
    if any(map(is_reference, given.values())):  # stored as one it would be followed: a file read, a command run
        raise click.ClickException(
            f"{manifest.title} has given a refresh token that reads like a reference, and is not kept"
        )
    return given
