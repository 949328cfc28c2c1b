"""``writeback connections add``, ``set`` and ``remove``: the ones that change more than a word."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from connectors.cli.authorize import DEFAULT_PORT, Browser, asked
from connectors.cli.completion import connector_names
from connectors.cli.context import current_connections, name_argument, pending_of, tell
from connectors.cli.options import (
    ask_missing,
    ask_required,
    change_options,
    limits_of,
    policy_of,
    secrets_of,
    settings_of,
    wants_authorization,
    way_by_address,
)
from connectors.cli.trial import tried
from topics.cli.console import json_option, note, pass_context
from topics.cli.context import CommandContext

if TYPE_CHECKING:
    from connectors.connections.store import Connection, Connections


@click.command()
@name_argument
@click.option(
    "--connector",
    shell_complete=connector_names,
    help="Which SaaS it is (`writeback connectors list`); none given: the one of that name.",
)
@click.option("--partitions", type=click.IntRange(1, 64), default=1, show_default=True, help="Fixed for ever.")
@click.option("--test/--no-test", "test", default=True, help="--no-test: add it without asking the SaaS.")
@click.option("--authorize", is_flag=True, help="Let a person say yes in a browser, for the refresh token (OAuth 2).")
@click.option("--browser/--no-browser", default=True, help="--no-browser: print the address, and open nothing.")
@click.option("--port", type=click.IntRange(1, 65_535), default=DEFAULT_PORT, help="Where --authorize is answered.")
@change_options
@json_option
@pass_context
def add(
    context: CommandContext,
    /,
    *,
    name: str,
    connector: str | None,
    partitions: int,
    test: bool,
    authorize: bool,
    browser: bool,
    port: int,
    as_json: bool,
    **said: Any,
) -> None:
    """Add a connection, when the SaaS has let it in, and make its topic.

    \b
      writeback connections add Hubspot --connector hubspot --secret access_token
      writeback connections add Slack --connector slack --secret access_token=env:SLACK_TOKEN
      writeback connections add Xero --set client_id=1A2B --secret client_secret --authorize

    On a terminal the settings that are missing are asked for, and the secrets, hidden. A secret may be a reference:
    env:VARIABLE, file:/PATH, or exec:COMMAND, which prints it.
    """  # noqa: D301 - click's own mark for lines that it shall not join
    from connectors import registry  # noqa: PLC0415
    from connectors.connections.references import follow, is_reference  # noqa: PLC0415

    manifest = registry.manifest(connector or name.strip().lower())
    settings, limits, policy = (
        settings_of(said["settings"], manifest),
        limits_of(said, manifest),
        policy_of(said, manifest),
    )
    settings |= ask_required(manifest, settings)
    secrets = secrets_of(said["secrets"])
    authorize = authorize or wants_authorization(manifest, settings, secrets)
    can_encrypt = bool(context.settings.secret_key)
    secrets |= ask_missing(manifest, settings, secrets, can_encrypt=can_encrypt, authorize=authorize)
    if authorize:
        held = {key: follow(value) if is_reference(value) else value for key, value in secrets.items()}
        secrets |= asked(manifest, settings, held, Browser(browser, port), name)
    settings |= way_by_address(manifest, settings, secrets)
    store = current_connections(context)
    made = store.add(
        name,
        manifest.name,
        settings=settings,
        secrets=secrets,
        partitions=partitions,
        limits=limits,
        policy=policy,
    )
    with _taken_back(store, made):
        if test:
            tried(store, made)
        waiting = _make_topic(context, made)
    if waiting:
        topic = context.settings.names.events_topic(made.slug)
        note(f"{topic} was there already, with {waiting:,} events: they will be delivered")
    tell(
        made,
        as_json=as_json,
        text=f"Added {made.name}: {manifest.title}, topic {context.settings.names.events_topic(made.slug)}",
    )


@click.command("set")
@name_argument
@click.option("--unset", multiple=True, metavar="NAME", help="Remove a setting, secret or limit.")
@change_options
@json_option
@pass_context
def set_(context: CommandContext, /, *, name: str, unset: tuple[str, ...], as_json: bool, **said: Any) -> None:
    """Change settings, secrets, limits or policy; what is not named stays.

    \b
      writeback connections set Hubspot --secret access_token --rate 10
      writeback connections set Slack --on-unknown add=dead_letter
    """  # noqa: D301 - click's own mark for lines that it shall not join
    from connectors import registry  # noqa: PLC0415

    store = current_connections(context)
    old = store.get(name)
    manifest = registry.manifest(old.connector, old.version)
    policy, limits = policy_of(said, manifest), limits_of(said, manifest, old.limits)
    for part in {"on_unknown", "refresh"} & policy.keys():
        policy[part] = {**old.policy.get(part, {}), **policy[part]}
    sealed = store.secret_names(old)
    _check_unset(unset, [*old.settings, *sealed, *old.limits, *old.policy])
    settings, secrets = settings_of(said["settings"], manifest), secrets_of(said["secrets"])
    if not unset:  # another way in may need other secrets
        there, kept = {**old.settings, **settings}, {**sealed, **secrets}
        secrets |= ask_missing(manifest, there, kept, can_encrypt=bool(context.settings.secret_key))
    changed = store.update(
        old.id,
        settings=settings | _without(unset, old.settings),
        secrets=secrets | _without(unset, sealed),
        limits=limits | _without(unset, old.limits),
        policy=policy | _without(unset, old.policy),
    )
    tell(changed, as_json=as_json, text=f"Changed {changed.name}")


@click.command()
@name_argument
@click.option("--force", is_flag=True, help="Also with events pending: they are deleted, undelivered.")
@json_option
@pass_context
def remove(context: CommandContext, /, *, name: str, force: bool, as_json: bool) -> None:
    """Forget a connection, its secrets, and then its topic."""
    store = current_connections(context)
    connection = store.get(name)
    topic = context.settings.names.events_topic(connection.slug)
    pending = pending_of(context, connection.slug)
    if pending and not force:
        events = "1 event is" if pending == 1 else f"{pending:,} events are"
        raise click.ClickException(
            f"{events} pending for {connection.name} in {topic}: let them be delivered, or delete them with --force"
        )
    store.remove(connection.id)
    context.log().delete_topic(topic)
    lost = f"; {pending:,} pending events were deleted" if pending else ""
    tell(connection, as_json=as_json, text=f"Removed {connection.name}{lost}")


@contextmanager
def _taken_back(store: Connections, made: Connection) -> Iterator[None]:
    """Remove the new connection again when the SaaS does not let it in, or its topic cannot be made."""
    try:
        yield
    except BaseException:
        store.remove(made.id)
        raise


def _make_topic(context: CommandContext, made: Connection) -> int:
    """Make its topic. Returns how many events were in it already."""
    log = context.log()
    log.ensure_topics([log.names.events_spec(made.slug, made.partitions)])
    return pending_of(context, made.slug)


def _check_unset(unset: tuple[str, ...], there: list[str]) -> None:
    for name in unset:
        if name not in there:
            raise click.UsageError(f"--unset {name}: it is not set; what is: {', '.join(there) or 'nothing'}")


def _without(unset: tuple[str, ...], there: Mapping[str, Any]) -> dict[str, Any]:
    return {name: None for name in unset if name in there}
