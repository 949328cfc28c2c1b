"""``writeback verify``: is what was delivered in the warehouse, after the last refresh?"""

from __future__ import annotations

import sys
import time
from collections import Counter
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from connectors.cli.completion import connection_names
from topics.cli.console import (
    INCOMPLETE,
    INTERRUPTED,
    OK,
    json_option,
    note,
    pass_context,
    print_json,
    progress,
    say,
)
from topics.cli.context import CommandContext

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.refresher.verify.judge import Finding
    from worker.refresher.verify.resend import Resend
    from worker.refresher.verify.verification import Verification


@click.command()
@click.argument("name", shell_complete=connection_names)
@click.option("--object", "objects", multiple=True, help="Only this kind of record (repeat it for several).")
@click.option("--since", help="Only what was delivered since: 2h, 7d, 2026-01-31 or 2026-01-31T12:00 (UTC).")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="Show so many; --json: all.")
@click.option("--resend", is_flag=True, help="Send again what is different or missing; shows the plan and asks.")
@click.option("--overwrite", is_flag=True, help="With --resend: also what somebody else has changed since.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@pass_context
def verify(
    context: CommandContext,
    /,
    *,
    name: str,
    objects: tuple[str, ...],
    since: str | None,
    limit: int,
    resend: bool,
    overwrite: bool,
    yes: bool,
    as_json: bool,
) -> int:
    """Compare what was delivered with what the last refresh brought into the warehouse.

    \b
      writeback refresh hubspot --wait
      writeback verify hubspot
      writeback verify hubspot --object contact --since 2h --json
      writeback verify hubspot --resend

    Each record that delivered events have written is looked up, and each field compared with what was sent last.
    different: another value is there. missing: the record is not there. changed: another value is there, and the
    application says that the record was changed after our last write. waiting: written again since the refresh began.
    unknown: not all of its events are in the log any more (WRITEBACK_EVENTS_RETENTION).

    Exit code 0: nothing differs; 3: something is different, missing or changed, or nothing could be compared yet.
    With --resend: 0: all that differed was sent again; 3: something of it stays.
    """  # noqa: D301 - click's own mark, a real backspace
    if overwrite and not resend:
        raise click.UsageError("--overwrite is for --resend")
    if resend and not yes and (as_json or not sys.stdin.isatty()):
        raise click.UsageError("nobody is there to be asked: say --yes")
    from worker.refresher.verify.report import Report  # noqa: PLC0415 - help needs none of it

    with _verification(context, name, objects, since) as verification:
        again = _again(verification, overwrite=overwrite) if resend else None
        report = Report(verification, limit=limit, as_json=as_json)
        plan = Plan()
        with progress("Comparing", verification.records()) as advance:
            for finding in verification.findings():
                plan.add(finding, again)
                report.add(finding)
                advance(1)
        report.end()
        if again is None:
            return INCOMPLETE if report.differs else OK
        return _resend(context, verification, again, plan, yes=yes, as_json=as_json)


@dataclass(slots=True)
class Plan:
    """How many events a resend would send, by operation, and how many records get none, by reason."""

    sends: Counter[str] = field(default_factory=Counter)
    stays: Counter[str] = field(default_factory=Counter)

    def add(self, finding: Finding, again: Resend | None) -> None:
        if again is not None:
            events, why = _events(finding, again)
            self.sends.update(f"{event.operation} {event.object}" for event in events)
            if why:
                self.stays[why] += 1

    def tell(self) -> None:
        note("To send: " + (", ".join(f"{count:,} x {what}" for what, count in self.sends.items()) or "nothing"))
        for why, count in self.stays.most_common():
            note(f"  {count:,} stay: {why}")


def _events(finding: Finding, again: Resend) -> tuple[list[Any], str]:
    from worker.refresher.verify.judge import DIFFERENCES  # noqa: PLC0415
    from worker.refresher.verify.resend import NotResent  # noqa: PLC0415

    if finding.verdict not in DIFFERENCES:
        return [], ""
    try:
        return again.events(finding), ""
    except NotResent as why:
        return [], str(why)


@contextmanager
def _verification(
    context: CommandContext, name: str, objects: tuple[str, ...], since: str | None
) -> Iterator[Verification]:
    from connectors.connections.store import Connections  # noqa: PLC0415
    from dead_letter.cli.options import moment  # noqa: PLC0415
    from topics.warehouse import open_warehouse, warehouse_url  # noqa: PLC0415
    from worker.refresher.runs import Runs  # noqa: PLC0415
    from worker.refresher.verify.deliveries import Reading  # noqa: PLC0415
    from worker.refresher.verify.scratch import Scratch  # noqa: PLC0415
    from worker.refresher.verify.verification import connector_of, delivered, wanted  # noqa: PLC0415

    after = moment(since, time.time())  # noqa: TID251 - the command line is an edge
    connections = Connections(context.store(), context.settings.secret_key)
    connection = connections.get(name)
    connector = connector_of(connections, connection)
    kinds = wanted(connector, objects)
    warehouse = open_warehouse(warehouse_url(context.settings.warehouse))
    runs = Runs(context.store())
    try:
        with closing(Scratch()) as scratch:
            reading = Reading(context.log(), connection.slug, connector, scratch, kinds)
            with progress("Reading ledger and events") as advance:
                verification = delivered(reading, runs, connection, warehouse, since=after, advance=advance)
            yield verification
    finally:
        warehouse.dispose()


def _again(verification: Verification, *, overwrite: bool) -> Resend:
    from worker.refresher.verify.resend import Resend  # noqa: PLC0415

    reading = verification.reading
    return Resend(reading.slug, reading.connector, reading.scratch, overwrite=overwrite)


def _resend(
    context: CommandContext, verification: Verification, again: Resend, plan: Plan, *, yes: bool, as_json: bool
) -> int:
    """Compare once more, and send what is found now, not what was shown.

    Exit code OK when every record that differs was sent.
    """
    from dead_letter.cli.context import confirm  # noqa: PLC0415
    from worker.refresher.verify.sending import send  # noqa: PLC0415

    plan.tell()
    total = plan.sends.total()
    if not total:
        return INCOMPLETE if plan.stays else OK
    if not yes:
        confirm(f"Send {total:,} events?")
    sent, interrupted = 0, False
    events = (event for finding in verification.findings() for event in _events(finding, again)[0])
    try:
        with progress("Sending", total) as advance, closing(send(context.log(), again.slug, events)) as sending:
            for _ in sending:
                sent += 1
                advance(1)
    except KeyboardInterrupt:
        interrupted = True
    if as_json:
        print_json({"sent": sent, "stay": dict(plan.stays)})
    else:
        say(f"Sent {sent:,} events")
    if interrupted:
        note("Stopped; verify again after the next refresh, and send the rest.")
        return INTERRUPTED
    note(f"Look again after the next refresh: writeback refresh {again.slug} --wait && writeback verify {again.slug}")
    return INCOMPLETE if plan.stays else OK
