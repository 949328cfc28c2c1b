"""``writeback emit``."""

from __future__ import annotations

import sys
from codecs import BOM_UTF8
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from topics.cli.console import FAILED, INCOMPLETE, OK, json_option, note, pass_context, print_json, say
from topics.cli.context import CommandContext

if TYPE_CHECKING:
    from pq._channel import Channel
    from pq._session import Session
    from pq.receipt import Receipt
    from topics.log import Position

OPERATIONS = click.Choice(["add", "update", "upsert", "delete", "message"])


@contextmanager
def opened_session(context: CommandContext, source: str) -> Iterator[Session]:
    from connectors.connections.store import Connections  # noqa: PLC0415 - help needs none of it
    from pq._session import Session  # noqa: PLC0415

    connections = Connections(context.store(), context.settings.secret_key)
    session = Session(context.log(), connections, group=context.settings.group, source=source)
    try:
        yield session
    finally:
        session.close()


@click.command()
@click.argument("connection")
@click.argument("operation", type=OPERATIONS)
@click.argument("object_name", metavar="OBJECT")
@click.argument("fields", default="{}")
@click.option("--key", help="The ordering key: events with the same one arrive in order. Default: the connector's.")
@click.option("--wait", is_flag=True, help="Wait for the outcome and print it.")
@click.option("--wait-seconds", type=float, default=60.0, show_default=True, help="How long --wait waits.")
@json_option
@pass_context
def emit(
    context: CommandContext,
    connection: str,
    operation: str,
    object_name: str,
    fields: str,
    *,
    key: str | None,
    wait: bool,
    wait_seconds: float,
    as_json: bool,
) -> int:
    """Send an event: FIELDS is a JSON object, or - for one JSON object per line of stdin.

    \b
      writeback emit hubspot add contact '{"email": "john@acme.com"}'
      writeback emit hubspot update contact '{"id": 101, "phone": "+32 2 555"}' --wait
      writeback emit slack add message '{"channel": "QA", "text": "Data alert"}'
      jq -c '.[]' contacts.json | writeback emit hubspot upsert contact -

    Prints the id of each event once the log has it; with --wait what became of it. Exit code 1 when it failed, 3 when
    only some of several did or an outcome has not come in time. A line of stdin that cannot be sent is named, and the
    others are sent.
    """  # noqa: D301 - click's own mark, a real backspace
    from pq.errors import BadField  # noqa: PLC0415 - help needs none of it
    from topics.errors import RecordRefused  # noqa: PLC0415

    with opened_session(context, "writeback emit") as session:
        channel = session.channel(connection)
        sent, bad = [], 0
        for line, text in _texts(fields):
            try:
                sent.append(_send(channel, operation, object_name, _record(text), key=key, wait=wait))
            except (BadRecord, BadField, RecordRefused) as error:
                if fields != "-":
                    raise
                bad += 1
                note(f"line {line}: {error}")
        session.producer.flush()
        outcomes = [one.outcome(wait_seconds) for one in sent]
    for outcome in outcomes:
        _print_outcome(outcome, as_json=as_json)
    return _exit_code([outcome["status"] for outcome in outcomes], bad)


class _Sent(NamedTuple):
    id: str
    future: Future[Position]
    receipt: Receipt | None

    def outcome(self, wait_seconds: float) -> dict[str, Any]:
        if self.receipt is not None:
            return {"id": self.id, **self.receipt.wait(wait_seconds)}
        error = self.future.exception()
        return (
            {"id": self.id, "status": "sent"}
            if error is None
            else {"id": self.id, "status": "error", "detail": str(error)}
        )


def _send(
    channel: Channel, operation: str, object_name: str, record: dict[str, Any], *, key: str | None, wait: bool
) -> _Sent:
    from topics.event.event import Operation, new_id  # noqa: PLC0415

    if wait:
        receipt = channel.write(Operation(operation), object_name, record, key=key)
        return _Sent(receipt.id, receipt.sent, receipt)
    event_id = new_id()
    return _Sent(event_id, channel.send(Operation(operation), object_name, record, event_id=event_id, key=key), None)


def _texts(fields: str) -> Iterator[tuple[int, str | bytes]]:
    """What is to be a JSON object each, and the line it is on."""
    if fields != "-":
        yield 1, fields
        return
    for line, text in enumerate(sys.stdin.buffer, start=1):
        if text.strip():
            yield line, text.removeprefix(BOM_UTF8) if line == 1 else text


class BadRecord(click.BadParameter):
    """What was typed, or piped in, is no JSON object."""

    def __init__(self, said: str) -> None:
        super().__init__(said, param_hint="FIELDS")


def _record(text: str | bytes) -> dict[str, Any]:
    """Raises ``BadRecord``."""
    from topics.event import exact_json  # noqa: PLC0415 - help needs none of it

    try:
        record = exact_json.loads(text.decode() if isinstance(text, bytes) else text)
    except UnicodeDecodeError as error:
        raise BadRecord(f"not UTF-8: {error.reason} at byte {error.start}") from error
    except ValueError as error:
        raise BadRecord(f"not JSON: {error}") from error
    if not isinstance(record, dict):
        raise BadRecord(f"a JSON {type(record).__name__}, not an object like {{...}}")
    return record


def _print_outcome(outcome: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(outcome)
    elif "detail" in outcome:
        from topics.event import exact_json  # noqa: PLC0415 - help needs none of it

        detail = outcome["detail"]
        say(f"{outcome['status']}: {detail if isinstance(detail, str) else exact_json.shown(detail)}")
    else:
        say(outcome["id"])


def _exit_code(statuses: list[str], bad: int) -> int:
    good = sum(status in {"sent", "success"} for status in statuses)
    if good == len(statuses) and not bad:
        return OK
    only_failures = not good and "pending" not in statuses
    return FAILED if only_failures else INCOMPLETE
