"""The options by which a command says which letters are meant."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

import click

from topics.names import slugify

_F = TypeVar("_F", bound=Callable[..., Any])

_SPAN = re.compile(r"(\d+)\s*(s|m|h|d|w)")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
STATES = ("open", "replayed", "discarded", "all")


def filter_options(command: _F) -> _F:
    """Adds the filters; the command gets them as keyword arguments and hands them to ``chosen``."""
    options = (
        click.option("--connection", help="Name of the connection."),
        click.option("--operation", help="add, update, upsert, delete or message."),
        click.option("--object", "object_name", help="Kind of record: contact, invoice, message ..."),
        click.option("--key", help="The record's id, as the event says it."),
        click.option("--verdict", help="rejected, malformed, exhausted, unknown-outcome, blocked ..."),
        click.option("--status", type=int, help="HTTP status of the last answer."),
        click.option("--fingerprint", help="Of one problem, as `groups` shows it; its beginning is enough."),
        click.option("--since", help="2h, 7d, 2026-01-31 or 2026-01-31T12:00 (UTC)."),
        click.option("--until", help="As --since."),
    )
    for option in reversed(options):
        command = option(command)
    return command


reason_option = click.option("--reason", help="A part of the reason.")


def chosen(now: float, *, state: str | None, ids: list[str] | None = None, **said: Any) -> Any:
    """The ``Filter`` that the options make. ``state``: one of ``STATES``."""
    from dead_letter.store.filters import Filter  # noqa: PLC0415 - SQLAlchemy is not needed for --help

    return Filter(
        ids=ids,
        connection=slug(said["connection"]),
        operation=said["operation"],
        object=said["object_name"],
        key=said["key"],
        reason=said.get("reason"),
        verdict=said["verdict"],
        status=said["status"],
        fingerprint=said["fingerprint"],
        since=moment(said["since"], now),
        until=moment(said["until"], now),
        state=None if state in {None, "all"} else state,  # type: ignore[arg-type]
    )


def anything(said: dict[str, Any]) -> bool:
    """Whether any filter was given."""
    return any(value is not None for value in said.values())


def replay_command(connection: str, record_key: str) -> str:
    """What sends all letters of a record, in their order."""
    object_name, _, key = record_key.partition("/")
    options = f"--connection {connection} --object {shlex.quote(object_name)} --key {shlex.quote(key)}"
    return f"writeback dead-letters replay {options}"


def moment(text: str | None, now: float) -> float | None:
    """Seconds since the epoch of "2h" (before now), a date or a date with a time (UTC unless it says another)."""
    if text is None:
        return None
    span = _SPAN.fullmatch(text.strip().lower())
    if span:
        return now - int(span[1]) * _SECONDS[span[2]]
    try:
        said = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is no time: say 2h, 7d, 2026-01-31 or 2026-01-31T12:00") from error
    return (said if said.tzinfo else said.replace(tzinfo=UTC)).timestamp()


def slug(name: str | None) -> str | None:
    """Of a connection's name as people type it."""
    if name is None:
        return None
    try:
        return slugify(name)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
