"""What is typed behind ``writeback connections add`` and ``set``, read into settings, secrets, limits and policy."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

import click

from topics.cli.console import note
from topics.event.event import Operation

if TYPE_CHECKING:
    from connectors.engine.manifest import Manifest
    from connectors.engine.manifest.model import Setting

_F = TypeVar("_F", bound=Callable[..., Any])
UNKNOWN_POLICIES = ("retry", "dead_letter")

_SECONDS = click.FloatRange(0, 7 * 86_400)

_OPTIONS = (
    click.option(
        "--set",
        "settings",
        multiple=True,
        metavar="NAME=VALUE",
        help="A setting of the connector.",
    ),
    click.option(
        "--secret",
        "secrets",
        multiple=True,
        metavar="NAME[=VALUE]",
        help="A secret; VALUE env:VARIABLE, file:/PATH, exec:COMMAND refer to it, - reads a line of stdin, none asks.",
    ),
    click.option("--rate", type=click.FloatRange(min=0, min_open=True), help="Calls per --per-seconds at most."),
    click.option("--per-seconds", type=click.FloatRange(min=0, min_open=True), help="The time that --rate is for."),
    click.option("--concurrency", type=click.IntRange(1, 1_024), help="Calls at once at most."),
    click.option("--daily", type=click.IntRange(1), help="Calls per day at most."),
    click.option(
        "--on-unknown",
        multiple=True,
        metavar="OPERATION=retry|dead_letter",
        help="What to do when nobody can say whether a call has happened.",
    ),
    click.option(
        "--on-dead",
        type=click.Choice(["continue", "park"]),
        help="park: after a dead letter the later events of the same record wait.",
    ),
    click.option(
        "--refresh",
        type=click.Choice(["after_writeback", "on_request"]),
        help="after_writeback: the data is loaded into the warehouse again after every delivery.",
    ),
    click.option("--refresh-quiet", type=_SECONDS, help="A refresh starts so many seconds after its last request (5),"),
    click.option("--refresh-max-wait", type=_SECONDS, help="and so many after its first one at the latest (60)."),
    click.option(
        "--refresh-with",
        type=click.Choice(["sync", "airbyte", "fivetran", "meltano", "http", "command"]),
        help="What makes a refresh: sync (our own), or a tool of yours with its --refresh-set.",
    ),
    click.option("--refresh-set", multiple=True, metavar="NAME=VALUE", help="A setting of --refresh-with."),
    click.option(
        "--refresh-time-limit", type=_SECONDS, help="A refresh that takes longer is cancelled (7200 seconds)."
    ),
    click.option("--coalesce/--no-coalesce", default=None, help="Merge waiting updates of one record into one write."),
)


def change_options(command: _F) -> _F:
    """The options that ``add`` and ``set`` share; the command gets them as keywords, for the functions below."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def limits_of(
    said: Mapping[str, Any], manifest: Manifest, before: Mapping[str, Any] = MappingProxyType({})
) -> dict[str, Any]:
    """``before``: the limits that the connection has already."""
    limits = {name: said[name] for name in ("rate", "per_seconds", "concurrency", "daily") if said[name] is not None}
    if "per_seconds" in limits and manifest.limits.rate is None and not {**before, **limits}.get("rate"):
        raise click.UsageError(
            "--per-seconds is the time that --rate is for, and this connection has no rate: say --rate"
        )
    return limits


def policy_of(said: Mapping[str, Any], manifest: Manifest) -> dict[str, Any]:
    policy = {name: said[name] for name in ("on_dead", "coalesce") if said[name] is not None}
    on_unknown = dict(_pair(item, "--on-unknown") for item in said["on_unknown"])
    for operation, choice in on_unknown.items():
        if operation not in set(Operation) or choice not in UNKNOWN_POLICIES:
            raise click.UsageError(
                f"--on-unknown {operation}={choice}: it is OPERATION=POLICY, one of {', '.join(Operation)}, "
                f"and one of {', '.join(UNKNOWN_POLICIES)}"
            )
    _check_operations(on_unknown, manifest)
    refresh = _refresh_of(said)
    return policy | ({"on_unknown": on_unknown} if on_unknown else {}) | ({"refresh": refresh} if refresh else {})


def _check_operations(on_unknown: Mapping[str, str], manifest: Manifest) -> None:
    """A policy for what the connector never does would be accepted and do nothing."""
    done = {str(operation) for one in manifest.objects.values() for operation in one.operations}
    if done & {Operation.ADD, Operation.MESSAGE}:
        done |= {Operation.ADD, Operation.MESSAGE}  # they stand for one another
    for operation in on_unknown:
        if done and operation not in done:
            raise click.UsageError(
                f"--on-unknown {operation}: {manifest.title} has no such operation; it has {', '.join(sorted(done))}"
            )


def _refresh_of(said: Mapping[str, Any]) -> dict[str, Any]:
    refresh = {
        name: said[f"refresh_{name}"]
        for name in ("quiet", "max_wait", "time_limit")
        if said[f"refresh_{name}"] is not None
    }
    if said["refresh_set"] and said["refresh_with"] in {None, "sync"}:
        raise click.UsageError("--refresh-set is for --refresh-with airbyte, fivetran, meltano, http or command")
    if said["refresh_with"] == "sync":
        refresh["call"] = None
    elif said["refresh_with"]:
        settings = dict(_pair(item, "--refresh-set") for item in said["refresh_set"])
        refresh["call"] = _checked_call({"tool": said["refresh_with"], **settings})
    return refresh | ({"after_writeback": said["refresh"] == "after_writeback"} if said["refresh"] else {})


def _checked_call(said: dict[str, str]) -> dict[str, Any]:
    from pydantic import TypeAdapter, ValidationError  # noqa: PLC0415 - help needs none of it

    from connectors.connections.refresh.call import RefreshCall  # noqa: PLC0415

    try:
        call: Any = TypeAdapter(RefreshCall).validate_python(said)
    except ValidationError as error:
        mistakes = [(mistake["loc"], mistake["msg"]) for mistake in error.errors(include_url=False)]
        told = "; ".join(f"{'.'.join(map(str, where[1:2])) or said['tool']}: {what}" for where, what in mistakes)
        raise click.UsageError(f"--refresh-with {said['tool']}: --refresh-set {told}") from error
    kept: dict[str, Any] = call.model_dump(exclude_defaults=True)
    return {**kept, "tool": said["tool"]}


def settings_of(items: Iterable[str], manifest: Manifest) -> dict[str, Any]:
    """Each value as the type that the manifest gives it; a name it does not have stays text, for ``check`` to name."""
    from connectors.engine.manifest.configuration import EVERYWHERE  # noqa: PLC0415 - only where a manifest is at hand

    known: dict[str, Setting] = {**EVERYWHERE, **manifest.settings}
    pairs = [_pair(item, "--set") for item in items]
    return {name: _typed(name, value, known[name].type if name in known else "string") for name, value in pairs}


def secrets_of(items: Iterable[str]) -> dict[str, str]:
    secrets: dict[str, str] = {}
    for item in items:
        name, equals, value = item.partition("=")
        if not equals:
            value = ask(name)
        elif value == "-":
            value = sys.stdin.readline().rstrip("\r\n")
        if not name or not value:
            raise click.UsageError(f"--secret {name}: it is empty; give NAME=VALUE, NAME=env:VARIABLE, NAME=- or NAME")
        secrets[name] = value
    return secrets


def missing_secrets(manifest: Manifest, settings: Mapping[str, Any], secrets: Mapping[str, str]) -> list[str]:
    """Secrets to ask a person for: the required ones, and when no way in is complete those of the one begun."""
    from connectors.engine.manifest.auth import credentials_of  # noqa: PLC0415
    from connectors.engine.manifest.auth import settings_of as needed  # noqa: PLC0415
    from connectors.engine.manifest.configuration import begun as begun_ways  # noqa: PLC0415

    given = {*settings, *secrets, *(name for name, spec in manifest.settings.items() if spec.default is not None)}
    missing = [name for name, spec in manifest.settings.items() if spec.secret and spec.required]
    wanted = settings.get("auth")
    ways = [way for way in manifest.auth if wanted is None or way.type == wanted]
    ways = begun_ways(ways, {*settings, *secrets}) or ways
    if ways and not any(given.issuperset(needed(way)) for way in ways):
        begun = max(ways, key=lambda way: len({*settings, *secrets}.intersection(credentials_of(way))))
        missing += [name for name in needed(begun) if manifest.settings[name].secret]
    return [name for name in dict.fromkeys(missing) if name not in secrets]


def ask_required(manifest: Manifest, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What a person at a terminal types for the settings that no connection can do without."""
    missing = [
        name
        for name, spec in manifest.settings.items()
        if spec.required and not spec.secret and spec.default is None and name not in settings
    ]
    if not missing or not sys.stdin.isatty():
        return {}
    typed = [f"{name}={click.prompt(_question(name, manifest), err=True)}" for name in missing]
    return settings_of(typed, manifest)


def _question(name: str, manifest: Manifest) -> str:
    about = manifest.settings[name].help
    return f"{name} ({about})" if about else name


def ask_missing(
    manifest: Manifest,
    settings: Mapping[str, Any],
    secrets: Mapping[str, str],
    *,
    can_encrypt: bool,
    authorize: bool = False,
) -> dict[str, str]:
    """What a person at a terminal types for the secrets that are missing; nobody is asked anywhere else.

    ``authorize``: the refresh token comes from the vendor.
    """
    from connectors.engine.auth.consent import asked_of_a_person  # noqa: PLC0415

    names = missing_secrets(manifest, settings, secrets) if sys.stdin.isatty() else []
    if authorize and (way := asked_of_a_person(manifest.auth)) is not None:
        client = [name for name in (way.client_secret,) if way.client_auth != "none" and name not in secrets]
        names = [name for name in dict.fromkeys((*client, *names)) if name != way.refresh_token]
        names = names if sys.stdin.isatty() else []
    if names and not can_encrypt:
        note(
            "WRITEBACK_SECRET_KEY is not set, so a secret can only be a reference: env:VARIABLE. To have it stored, "
            "stop here (Ctrl-C) and set the key first: `writeback connections new-key` makes one."
        )
    return {name: ask(name) for name in names}


def way_by_address(manifest: Manifest, settings: Mapping[str, Any], secrets: Collection[str]) -> dict[str, Any]:
    """What says that a webhook is the way in: who asks what an event needs does not read secrets."""
    from connectors.engine.manifest import auth  # noqa: PLC0415 - help needs none of it

    given = {*settings, *secrets}
    way = next((way for way in manifest.auth if given.issuperset(auth.settings_of(way))), None)
    return {"auth": way.type} if isinstance(way, auth.Webhook) and "auth" not in settings else {}


def wants_authorization(manifest: Manifest, settings: Mapping[str, Any], secrets: Mapping[str, str]) -> bool:
    """Asks a person at a terminal, where the vendor's page is its first way in and no other credentials are given."""
    from connectors.engine.auth.consent import asked_of_a_person  # noqa: PLC0415

    way = asked_of_a_person(manifest.auth)
    if way is None or way is not manifest.auth[0] or not sys.stdin.isatty():
        return False
    if set(secrets) - {way.client_secret} or settings.get("auth"):
        return False
    return click.confirm(f"Open the page of {manifest.title} on which you let Writeback in?", default=True, err=True)


def ask(name: str) -> str:
    return str(click.prompt(name, hide_input=True, err=True))


def _pair(item: str, option: str) -> tuple[str, str]:
    name, equals, value = item.partition("=")
    if not name or not equals:
        raise click.UsageError(f"{option} {item}: it is NAME=VALUE")
    return name, value


def _typed(name: str, value: str, kind: str) -> Any:
    if kind in {"string", "jmespath"}:
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        example = {"boolean": "true", "object": '{"a": 1}'}.get(kind, "5")
        raise click.UsageError(f"--set {name}={value}: it is a JSON value of type {kind}, like {example}") from error
