"""Reads the options of ``writeback triggers create`` into a trigger, and checks them against the connection."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from topics.cli.context import CommandContext

if TYPE_CHECKING:
    from topics.event.event import Operation
    from topics.outbox.definition import Change, Trigger


def operations_of(context: CommandContext, reference: str, said: dict[str, Any]) -> tuple[str, dict[Change, Operation]]:
    """The connection's slug, and the operation for each change. Raises ``UnknownFunction``, ``UnknownConnection``."""
    from connectors import registry  # noqa: PLC0415
    from connectors.connections.store import Connections  # noqa: PLC0415
    from connectors.errors import UnknownFunction  # noqa: PLC0415
    from topics.event.event import Operation  # noqa: PLC0415
    from topics.outbox.definition import CHANGES  # noqa: PLC0415

    changes = [part.strip() for part in said["on"].split(",")]
    if wrong := sorted(set(changes) - set(CHANGES)):
        raise click.BadParameter(f"{', '.join(wrong)}: it is some of {', '.join(CHANGES)}", param_hint="--on")
    first: dict[str, str] = {"insert": "add", "update": "update", "delete": "delete"}
    if said["upsert"]:
        first |= {"insert": "upsert", "update": "upsert"}
    chosen = first | pairs("--as", said["becomes"])
    if wrong := sorted(set(chosen) - set(CHANGES)):
        raise click.BadParameter(f"{', '.join(wrong)}: it is some of {', '.join(CHANGES)}", param_hint="--as")
    connections = Connections(context.store(), context.settings.secret_key)
    connection = connections.get(reference)
    connector = registry.build_to_ask(connections, connection)
    operations: dict[Change, Operation] = {}
    for change in CHANGES:
        if change in changes:
            operation = parsed("--as", chosen[change], Operation)
            try:
                operations[change] = connector.function(said["object_name"], operation).operation
            except UnknownFunction:
                if said["object_name"] != "message" or operation is not Operation.ADD:
                    raise
                operations[change] = connector.function("message", Operation.MESSAGE).operation
    return connection.slug, operations


def check_needs(context: CommandContext, trigger: Trigger) -> None:
    """Raises ``BadTrigger`` when the trigger's events would lack a field that the vendor requires."""
    from connectors import capabilities  # noqa: PLC0415
    from connectors.connections.store import Connections  # noqa: PLC0415
    from topics.event.event import Operation  # noqa: PLC0415
    from topics.outbox.errors import BadTrigger  # noqa: PLC0415

    connection = Connections(context.store(), context.settings.secret_key).get(trigger.connection)
    for change, operation in trigger.operations.items():
        sent = {*trigger.identity_of(change), *trigger.constants_of(change)}
        if not trigger.only_changed(change):
            sent |= set(trigger.fields_of(change))
        lacks = capabilities.lacking(connection, trigger.object, operation, sent)
        if lacks:
            has = ", ".join(sorted(sent)) or "nothing"
            changed = ", and what has changed" if trigger.only_changed(change) else ""
            upsert = ", give --upsert if a field tells the record" if operation is Operation.UPDATE else ""
            raise BadTrigger(
                f"{lacks}, and that is what the {change} becomes; the event would have {has}{changed}. "
                f"Add the column to --key{upsert}, or leave {change} out of --on"
            )


def trigger_of(given: dict[str, Any]) -> Trigger:
    from pydantic import ValidationError  # noqa: PLC0415

    from topics.outbox.definition import Trigger  # noqa: PLC0415
    from topics.outbox.errors import BadTrigger  # noqa: PLC0415

    try:
        return Trigger.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise BadTrigger(f"{where + ': ' if where else ''}{first['msg'].removeprefix('Value error, ')}") from error


def story(trigger: Trigger) -> str:
    become = ", ".join(f"{change} becomes {operation}" for change, operation in trigger.operations.items())
    return f"{trigger.table} → {trigger.connection} {trigger.object}: {become}"


def default_name(slug: str, table: str) -> str:
    letters = "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in f"{slug}_{table}".lower())
    return (letters if letters[0].isalpha() else f"t_{letters}")[:40]


def pairs(option: str, texts: tuple[str, ...], *, split: bool = True) -> dict[str, str]:
    """Reads ``a=b,c=d``, given once or several times, or a JSON object."""
    found: dict[str, str] = {}
    for text in texts:
        if text.lstrip().startswith("{"):
            found |= parsed(option, text, json.loads)
            continue
        for part in text.split(",") if split else [text]:
            name, equals, value = part.partition("=")
            if not (name.strip() and equals and value.strip()):
                raise click.BadParameter(f"{part!r} is not NAME=VALUE", param_hint=option)
            found[name.strip()] = value.strip()
    return found


def value_of(text: str) -> Any:
    """The text read as JSON (a number, a boolean, ...) if it is JSON; else the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def parsed(option: str, text: str, read: Any) -> Any:
    try:
        return read(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=option) from error
