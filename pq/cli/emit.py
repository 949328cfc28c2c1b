"""``writeback emit``."""

from __future__ import annotations

import gc
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from connectors.cli.completion import connection_names, objects, operations
from topics.cli.console import FAILED, INCOMPLETE, OK, json_option, note, pass_context, print_json, say
from topics.cli.context import CommandContext

if TYPE_CHECKING:
    from pq._channel import Channel
    from pq._session import Session
    from pq.receipt import Receipt
    from topics.log import Position

WAIT_S = 60.0
OPERATIONS = click.Choice(["add", "update", "upsert", "delete", "message"])


@contextmanager
def opened_session(context: CommandContext, source: str) -> Iterator[Session]:
    from connectors.connections.store import Connections  # noqa: PLC0415 - help needs none of it
    from pq._scripts import ScriptStates  # noqa: PLC0415
    from pq._session import Session  # noqa: PLC0415

    connections = Connections(context.store(), context.settings.secret_key)
    session = Session(
        context.log(), connections, ScriptStates(context.store()), group=context.settings.group, source=source
    )
    gc.freeze()  # what is loaded by now stays: it need not be looked through for garbage while events are made
    try:
        yield session
    finally:
        session.close()


@click.command()
@click.argument("connection", shell_complete=connection_names)
@click.argument("operation", type=OPERATIONS, shell_complete=operations)
@click.argument("object_name", metavar="OBJECT", shell_complete=objects)
@click.argument("fields", default="{}")
@click.option("--key", help="The ordering key: events with the same one arrive in order. Default: the connector's.")
@click.option("--wait", is_flag=True, help="Wait for the outcome and print it.")
@click.option(
    "--wait-seconds",
    type=click.FloatRange(min=0),
    help="How long --wait waits, for all of them together. Default: 60.",
)
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
    wait_seconds: float | None,
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
    others are sent. When the log is gone, what was sent until then is printed all the same, and the lines
    that it did not take.
    """  # noqa: D301 - click's own mark, a real backspace
    from pq.errors import BadField  # noqa: PLC0415 - help needs none of it
    from topics.errors import RecordRefused, WritebackError  # noqa: PLC0415
    from topics.event.event import Operation  # noqa: PLC0415

    if wait_seconds is not None and not wait:
        raise click.UsageError("--wait-seconds says how long --wait waits; say --wait, too")
    told = Told(as_json=as_json)
    with opened_session(context, "writeback emit") as session:
        channel = session.channel(connection)
        channel.function(Operation(operation), object_name)  # of a stream this is every line's mistake
        try:
            for line, text in _texts(fields):
                try:
                    told.add(_send(line, channel, operation, object_name, _record(text), key=key, wait=wait))
                except (BadRecord, BadField, RecordRefused) as error:
                    if fields != "-":
                        raise
                    told.reject(line, error)
                told.what_is_known()
                if told.log_failed:
                    break
            session.producer.flush()
            told.all(WAIT_S if wait_seconds is None else wait_seconds)
        except (KeyboardInterrupt, WritebackError):
            told.all(0.0)
            raise
    return told.exit_code()


class _Sent(NamedTuple):
    line: int
    id: str
    future: Future[Position]
    receipt: Receipt | None

    @property
    def known(self) -> bool:
        return self.future.done() if self.receipt is None else self.receipt.done

    def outcome(self, wait_seconds: float) -> dict[str, Any]:
        if self.receipt is not None:
            return {"id": self.id, **self.receipt.wait(wait_seconds)}
        if not self.future.done():
            return {"id": self.id, "status": "unknown", "detail": "the log has not said that it has it"}
        error = self.future.exception()
        return (
            {"id": self.id, "status": "sent"}
            if error is None
            else {"id": self.id, "status": "error", "detail": str(error)}
        )


class Told:
    """Prints what became of each event as soon as that is known, in the order of the lines: a stream may be endless.

    ``log_failed``: the log did not take an event, and not because of the event.
    """

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._waiting: deque[_Sent] = deque()
        self._statuses: Counter[str] = Counter()
        self._bad = 0
        self._not_taken: list[int] = []
        self._read = 0

    @property
    def log_failed(self) -> bool:
        return bool(self._not_taken)

    def add(self, sent: _Sent) -> None:
        self._waiting.append(sent)
        self._read = sent.line

    def reject(self, line: int, error: Exception) -> None:
        self._bad += 1
        note(f"line {line}: {error}")

    def what_is_known(self) -> None:
        while self._waiting and self._waiting[0].known:
            self._tell(self._waiting.popleft(), 0.0)

    def all(self, wait_seconds: float) -> None:
        """What is still open, after ``wait_seconds`` for all of it together."""
        until = time.monotonic() + wait_seconds
        while self._waiting:
            self._tell(self._waiting.popleft(), max(0.0, until - time.monotonic()))
        if self._not_taken and self._read > 1:
            note(f"the log did not take {_ranges(self._not_taken)}; nothing was read behind line {self._read}")

    def _tell(self, sent: _Sent, wait_seconds: float) -> None:
        from topics.errors import RecordRefused  # noqa: PLC0415

        outcome = sent.outcome(wait_seconds)
        self._statuses[outcome["status"]] += 1
        _print_outcome(outcome, as_json=self._as_json)
        error = sent.future.exception() if sent.future.done() else None
        if error is not None and not isinstance(error, RecordRefused):
            self._not_taken.append(sent.line)

    def exit_code(self) -> int:
        good = self._statuses["sent"] + self._statuses["success"]
        if good == self._statuses.total() and not self._bad:
            return OK
        return INCOMPLETE if good or self._statuses["pending"] else FAILED


def _send(
    line: int,
    channel: Channel,
    operation: str,
    object_name: str,
    record: dict[str, Any],
    *,
    key: str | None,
    wait: bool,
) -> _Sent:
    from topics.event.event import Operation, new_id  # noqa: PLC0415

    if wait:
        receipt = channel.write(Operation(operation), object_name, record, key=key)
        return _Sent(line, receipt.id, receipt.sent, receipt)
    event_id = new_id()
    return _Sent(
        line, event_id, channel.send(Operation(operation), object_name, record, event_id=event_id, key=key), None
    )


def _texts(fields: str) -> Iterator[tuple[int, str | bytes]]:
    """What is to be a JSON object each, and the line it is on."""
    if fields != "-":
        yield 1, fields
        return
    from pq.cli.json_lines import json_lines  # noqa: PLC0415 - help needs none of it

    yield from json_lines(sys.stdin.buffer)


def _ranges(lines: list[int]) -> str:
    """``lines 3-7, 9``."""
    ranges: list[list[int]] = []
    for line in lines:
        if ranges and line == ranges[-1][1] + 1:
            ranges[-1][1] = line
        else:
            ranges.append([line, line])
    said = ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)
    return f"line{'s' if len(lines) > 1 else ''} {said}"


class BadRecord(click.BadParameter):
    """What was typed, or piped in, is no JSON object."""

    def __init__(self, said: str) -> None:
        super().__init__(said, param_hint="FIELDS")


def _record(text: str | bytes) -> dict[str, Any]:
    """Raises ``BadRecord``."""
    from pq.cli.json_lines import not_utf8  # noqa: PLC0415 - help needs none of it
    from topics.event import exact_json  # noqa: PLC0415

    try:
        record = exact_json.loads(text.decode() if isinstance(text, bytes) else text)
    except UnicodeDecodeError as error:
        raise BadRecord(not_utf8(error)) from error
    except ValueError as error:
        raise BadRecord(f"not JSON: {error}") from error
    if not isinstance(record, dict):
        raise BadRecord(f"{exact_json.kind(record)}, not an object like {{...}}")
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
