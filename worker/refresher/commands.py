"""``writeback refresh`` asks for a refresh and may wait for it; ``writeback refreshes`` lists the runs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Self

import click

from connectors.cli.completion import connection_names, objects
from topics.cli.console import (
    FAILED,
    INCOMPLETE,
    OK,
    json_option,
    note,
    pass_context,
    print_json,
    print_listing,
    say,
    status_line,
    when,
)
from topics.cli.context import CommandContext

if TYPE_CHECKING:
    from connectors.connections.store import Connection
    from topics.event.refresh import RefreshRequest
    from topics.event.result import Result
    from topics.log import Log, Partition
    from worker.refresher.runs import Run, Runs

POLL_S = 0.5
ASKED_BY = "writeback refresh"
STATES = ("running", "ok", "failed", "dead", "cancelled", "lost")
_COLUMNS = ("started", "connection", "state", "objects", "requests", "asked_by", "rows", "seconds", "error")


@click.command()
@click.argument("name", shell_complete=connection_names)
@click.option(
    "--object",
    "objects",
    multiple=True,
    shell_complete=objects,
    help="Only this kind of record (repeat it for several).",
)
@click.option("--full", is_flag=True, help="Load everything anew, with the newest version of the connector.")
@click.option("--wait", is_flag=True, help="Wait for the end, and show how far it is.")
@click.option("--timeout", type=click.FloatRange(min=0), help="With --wait: so many seconds at most (exit code 3).")
@json_option
@pass_context
def refresh(
    context: CommandContext,
    /,
    *,
    name: str,
    objects: tuple[str, ...],
    full: bool,
    wait: bool,
    timeout: float | None,
    as_json: bool,
) -> int:
    """Load a connection's data into the warehouse again.

    \b
      writeback refresh odoo
      writeback refresh hubspot --object contact --object deal --wait
      writeback refresh odoo --full

    However many ask at the same time, it runs once: a few seconds after the last request (connections set
    --refresh-quiet). A refresher does it (`writeback up` or `writeback refresher`). Ctrl-C stops the waiting, not the
    refresh.
    """  # noqa: D301 - click's own mark, a real backspace
    from topics.event.refresh import RefreshRequest  # noqa: PLC0415

    if timeout is not None and not wait:
        raise click.UsageError("--timeout is for --wait")
    connection = _connection(context, name)
    log = context.log()
    log.ensure_topics(log.names.system_topics)
    waiting = _Waiting(log) if wait else None
    request = RefreshRequest(
        connection=connection.slug,
        objects=objects or None,
        full=full,
        source=ASKED_BY,
        reply_to=waiting.partition.number if waiting else None,
    )
    _send(log, request)
    if waiting is None:
        _tell_asked(connection, request, as_json=as_json)
        return OK
    with waiting:
        result = waiting.result_of(request.id, _runs(context), connection, timeout)
    return _tell_result(connection, request, result, as_json=as_json)


@click.command()
@click.argument("name", required=False, shell_complete=connection_names)
@click.option("--state", type=click.Choice(STATES), help="Only these.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
@json_option
@pass_context
def refreshes(context: CommandContext, /, *, name: str | None, state: Any, limit: int, as_json: bool) -> None:
    """The refreshes there were, the newest first: asked for by whom and how often, what they loaded, how they ended.

    The store keeps them for 30 days.
    """
    slug = None if name is None else _connection(context, name).slug
    runs = _runs(context).list(slug, state=state, limit=limit)
    if as_json:
        print_json([{**asdict(run), "seconds": run.seconds} for run in runs])
        return
    print_listing(
        [_line(run) for run in runs],
        as_json=False,
        columns=_COLUMNS,
        empty="No refreshes yet: `writeback refresh NAME` asks for one.",
    )


def _line(run: Run) -> dict[str, Any]:
    pending = f"{run.pending_writes:,} writes were not delivered yet" if run.pending_writes else ""
    return {
        "started": when(run.started),
        "connection": run.connection,
        "state": run.state if run.attempt == 1 else f"{run.state} (attempt {run.attempt})",
        "objects": ("full: " if run.is_full else "")
        + ("everything" if run.objects is None else ", ".join(run.objects)),
        "requests": run.requests,
        "asked_by": ", ".join(run.asked_by),
        "rows": _rows(run.rows),
        "seconds": None if run.seconds is None else round(run.seconds, 1),
        "error": run.error or pending,
    }


def _rows(rows: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in rows.items())


def _connection(context: CommandContext, name: str) -> Connection:
    from connectors.connections.store import Connections  # noqa: PLC0415 - SQLAlchemy only where there is a table

    return Connections(context.store(), context.settings.secret_key).get(name)


def _runs(context: CommandContext) -> Runs:
    from worker.refresher.runs import Runs  # noqa: PLC0415

    return Runs(context.store())


def _send(log: Log, request: RefreshRequest) -> None:
    from topics.event.refresh import encode  # noqa: PLC0415

    producer = log.producer(name="refresh")
    try:
        producer.send(log.names.refresh, **encode(request)._asdict()).result()
    finally:
        producer.close(5.0)


def _tell_asked(connection: Connection, request: RefreshRequest, *, as_json: bool) -> None:
    if as_json:
        print_json({"request": request.id, "connection": connection.slug, "status": "asked"})
        return
    say(f"Asked for a refresh of {connection.name} (request {request.id})")
    note(f"See `writeback refreshes {connection.slug}`, or wait for it with --wait.")


def _tell_result(connection: Connection, request: RefreshRequest, result: Result | None, *, as_json: bool) -> int:
    told: dict[str, Any] = {"request": request.id, "connection": connection.slug}
    if result is None:
        reason = "it has not ended in time; it goes on by itself"
        told |= {"status": "pending", "reason": reason}
        text, code = f"The refresh of {connection.name}: {reason} (`writeback refreshes {connection.slug}`)", INCOMPLETE
    elif result.outcome == "dead":
        told |= {"status": "error", "reason": result.reason, "letter": result.letter}
        text = f"The refresh of {connection.name} failed: {result.reason} (dead letter {result.letter})"
        code = FAILED
    else:
        told |= {"status": "success", **result.detail}
        rows = _rows(result.detail["rows"]) or "nothing has changed"
        text = f"Refreshed {connection.name} in {result.detail['seconds']:.1f} s: {rows}"
        if pending := result.detail.get("pending_writes"):
            text += f"; {pending:,} writes were not delivered yet when it began"
        code = OK
    if as_json:
        print_json(told)
    elif code == OK:
        say(text)
    else:
        note(text)
    return code


class _Waiting:
    """Reads one partition of the replies, from its present end on. A context manager."""

    def __init__(self, log: Log) -> None:
        from topics.event.event import new_id  # noqa: PLC0415
        from topics.log import Partition  # noqa: PLC0415

        replies = log.names.replies
        number = int(new_id().replace("-", "")[-8:], 16) % log.topics(replies)[replies]
        self.partition: Partition = Partition(replies, number)
        self._reader = log.reader(log.end_offsets([self.partition]))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.close()

    def result_of(self, request: str, runs: Runs, connection: Connection, timeout: float | None) -> Result | None:
        """None when the time is up."""
        deadline = time.monotonic() + timeout if timeout is not None else float("inf")
        asked = time.monotonic()
        with status_line(f"Refreshing {connection.name}") as show:
            while (left := deadline - time.monotonic()) > 0:
                for result in self._results(min(POLL_S, left)):
                    if result.id == request:
                        return result
                show(_how_far(runs.list(connection.slug, limit=1), time.monotonic() - asked))
        return None

    def _results(self, seconds: float) -> Iterator[Result]:
        from topics.errors import MalformedEvent  # noqa: PLC0415
        from topics.event.result import unpack  # noqa: PLC0415

        for record in self._reader.poll(seconds):
            try:
                yield from unpack(record.value)
            except MalformedEvent:  # a reply to somebody else, written by a later version
                continue


def _how_far(newest: list[Run], waited: float) -> str:
    run = newest[0] if newest else None
    if run is not None and run.state == "running":
        return _rows(run.rows) or "running"
    if run is not None and run.state == "failed":
        return f"attempt {run.attempt} failed, tried again: {run.error}"
    if waited > 90:
        return "nothing has begun; does a refresher run? (writeback up, writeback refresher)"
    return "waiting for its moment"
