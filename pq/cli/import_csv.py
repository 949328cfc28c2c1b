"""``writeback import``: a table in a file, row by row."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from connectors.cli.completion import connection_names, objects
from pq.cli.emit import OPERATIONS, opened_session
from topics.cli.console import (
    FAILED,
    INCOMPLETE,
    OK,
    json_option,
    note,
    pass_context,
    print_json,
    print_table,
    progress,
    say,
)
from topics.cli.context import CommandContext
from topics.errors import WritebackError

if TYPE_CHECKING:
    from pq._session import Session
    from pq.csv.importer import CsvImport, Sample
    from pq.csv.rejects import Rejects
    from pq.csv.rows import Row, Rows

TOLD = 10
"""Rejected rows that are told on stderr one by one; all of them are in the rejects file."""


SHOWN = 200
"""Characters of a cell that a dry run shows to people; with --json it is whole."""
PACED_ROWS = 1_000
"""Rows between two looks at the lag."""


def _delimiter(_context: click.Context, _option: click.Parameter, text: str | None) -> str | None:
    if text in {"tab", r"\t"}:
        return "\t"
    if text is not None and (len(text) != 1 or text in '\r\n"\0'):
        raise click.BadParameter(f"{text!r}: it is one character such as ; or |, or the word tab")
    return text


def _encoding(_context: click.Context, _option: click.Parameter, text: str | None) -> str | None:
    if text is None:
        return None
    from pq.csv.encoding import is_encoding  # noqa: PLC0415 - help needs none of it

    if not is_encoding(text):
        raise click.BadParameter(f"{text!r} is no encoding that is known here; windows-1252, cp850, shift_jis, ... are")
    return text


@click.command("import")
@click.argument("file", type=click.Path(allow_dash=True, dir_okay=False))
@click.option("--connection", required=True, shell_complete=connection_names, help="Where the rows go.")
@click.option(
    "--object", "object_name", required=True, shell_complete=objects, help="What each row is: contact, company, ..."
)
@click.option("--operation", type=OPERATIONS, default="upsert", show_default=True)
@click.option("--key", help="The column that identifies a record; a row without it is rejected.")
@click.option("--map", "renamed", multiple=True, metavar="COLUMN=FIELD", help="Rename a column; COLUMN= leaves it out.")
@click.option("--types", multiple=True, metavar="COLUMN=TYPE", help="str (the default), int, float, bool or json.")
@click.option("--infer", is_flag=True, help="Take cells that can only be numbers or true/false for that; 007 is text.")
@click.option(
    "--empty",
    type=click.Choice(["skip", "null", "text"]),
    default="skip",
    show_default=True,
    help="An empty cell: leave the field alone, send null, or send empty text.",
)
@click.option(
    "--delimiter",
    callback=_delimiter,
    help="One character, or tab. Default: the one that the header line uses (, ; tab |).",
)
@click.option(
    "--encoding",
    callback=_encoding,
    help="Of a text file, such as windows-1252. Default: UTF-8, or UTF-16 where the file shows it.",
)
@click.option("--sheet", help="Of a workbook. Default: the only one with rows in it.")
@click.option("--from-line", type=click.IntRange(min=2), default=2, help="Go on from this line of the file.")
@click.option("--run", default="", help="Sends the same file once more as new events: any word for this run.")
@click.option("--rejects", type=click.Path(path_type=Path), help="Rows that cannot be used. Default: FILE.rejects.csv")
@click.option("--dry-run", is_flag=True, help="Send nothing; show the first events, and check every row.")
@click.option("--at-once", is_flag=True, help="Do not let the workers keep up: live events will wait behind it.")
@click.option("--wait", is_flag=True, help="Wait for the outcomes and count them.")
@json_option
@pass_context
def import_csv(context: CommandContext, /, file: str, **options: Any) -> int:
    """Send an event for each row of a table: CSV or an Excel workbook, with a header line; - for stdin.

    \b
      writeback import contacts.csv --connection hubspot --object contact \\
          --operation upsert --key email
      writeback import prices.xlsx --sheet 2026 --connection odoo --object product \\
          --operation update --map sku=id --types price=float --dry-run

    The file may be compressed (gzip, bzip2, xz, or alone in a zip file). Of a workbook the values are sent that its
    cells would have in a CSV file: dates as 2026-01-31, numbers with all their digits.

    Rows that cannot be used are told with their line and written to a rejects file, which can be corrected and
    imported as it is. Ctrl-C, or a log that is gone: what was sent stays sent, and the line to go on from is told.
    Sending the same file again makes the same events (same ids), so that vendors with an idempotency key take each
    once; --run makes them new ones. Imported events yield to live ones. Exit code 3 when not every row was sent, or
    not delivered.
    """  # noqa: D301 - click's own mark, a real backspace
    from pq.csv.rejects import Rejects  # noqa: PLC0415 - help needs none of it
    from pq.csv.source import Reading, opened_rows  # noqa: PLC0415

    reading = Reading(options["delimiter"], options["encoding"], options["sheet"])
    with (
        _opened(file) as source,
        opened_rows(source, reading) as rows,
        opened_session(context, f"writeback import:{Path(file).name}") as session,
    ):
        rejects = Rejects(_rejects_path(file, options["rejects"]), rows)
        try:
            return _import(session, file, rows, rejects, options)
        finally:
            rejects.close()


@contextmanager
def _opened(file: str) -> Iterator[Any]:
    if file == "-":
        yield sys.stdin.buffer
        return
    try:
        source = Path(file).open("rb")  # noqa: SIM115 - closed below
    except OSError as error:
        raise click.UsageError(f"{file}: {error.strerror}") from error
    with source:
        yield source


def _rejects_path(file: str, given: Path | None) -> Path:
    if given is None:
        return Path("stdin.rejects.csv") if file == "-" else Path(file).with_suffix(".rejects.csv")
    if given.exists() and file != "-" and given.samefile(file):
        raise click.BadParameter(f"{given} is the file that is imported", param_hint="--rejects")
    return given


def _import(session: Session, file: str, rows: Rows, rejects: Rejects, options: dict[str, Any]) -> int:
    from pq.csv.fields import Fields, missing_header  # noqa: PLC0415
    from pq.csv.importer import CsvImport, Target  # noqa: PLC0415
    from topics.event.event import Operation  # noqa: PLC0415

    fields = Fields(
        rows.columns,
        renamed=_pairs(options["renamed"], "--map"),
        types=_pairs(options["types"], "--types"),
        key=options["key"],
        infer=options["infer"],
        empty=options["empty"],
    )
    channel = session.channel(options["connection"])
    target = Target(channel, Operation(options["operation"]), options["object_name"], options["run"])
    channel.function(target.operation, target.object)  # before the first row: there may be none, and it is wrong still
    if lacks := channel.lacking(target.operation, target.object, fields.names):
        raise click.UsageError(
            f"{lacks}; the rows have {', '.join(fields.names)} (--map COLUMN=FIELD renames a column)"
            f"{missing_header(fields.names)}"
        )
    importing = CsvImport(target, fields, rejects, _tell_reject(rejects))
    todo: Iterator[Row] = (row for row in rows if row.line >= options["from_line"])
    if options["dry_run"]:
        return _dry_run(importing, todo, rejects, options)
    if not options["at_once"]:
        todo = paced(todo, session, channel.topic)
    return _send(session, importing, todo, rejects, {**options, "lines": _lines(file)})


def paced(rows: Iterator[Row], session: Session, topic: str) -> Iterator[Row]:
    """Rows no faster than the workers take them, where there are any: a live event is not to queue behind a million."""
    from topics.cli.pace import IMPORT_LAG_LIMIT, IMPORT_PATIENCE_S, Pace  # noqa: PLC0415

    pace = Pace(
        time.monotonic,
        time.sleep,  # noqa: TID251 - the edge: an import waits in real time
        lag_limit=IMPORT_LAG_LIMIT,
        patience_s=IMPORT_PATIENCE_S,
        group=session.group,
    )
    pacing = True
    for number, row in enumerate(rows, 1):
        yield row
        if pacing and number % PACED_ROWS == 0:
            trouble = pace.wait_for_room(session.log, {topic}, lambda _: None)
            if trouble:
                pacing = False
                note(f"{trouble} Going on without waiting for the workers.")


def _pairs(given: tuple[str, ...], option: str) -> dict[str, str]:
    pairs = dict(pair.partition("=")[::2] for pair in given)
    if len(pairs) < len(given):
        raise click.UsageError(f"{option} says twice what {_twice(given)} is")
    wrong = [pair for pair in given if "=" not in pair]
    if wrong:
        raise click.UsageError(f"{option} {wrong[0]}: give COLUMN=VALUE")
    return pairs


def _twice(given: tuple[str, ...]) -> str:
    names = [pair.partition("=")[0] for pair in given]
    return next(name for name in names if names.count(name) > 1)


def _tell_reject(rejects: Rejects) -> Callable[[Row, str], None]:
    def tell(row: Row, reason: str) -> None:
        if rejects.count <= TOLD:
            note(f"line {row.line} rejected: {reason}")
        elif rejects.count == TOLD + 1:
            note("more rows are rejected; see the rejects file")

    return tell


def _dry_run(importing: CsvImport, todo: Iterator[Row], rejects: Rejects, options: dict[str, Any]) -> int:
    shown: list[Sample] = []
    count = 0
    for sample in importing.samples(todo):
        count += 1
        if len(shown) < 5:
            shown.append(sample)
    if options["as_json"]:
        print_json({"rows": count, "rejected": rejects.count, "first": [sample._asdict() for sample in shown]})
    else:
        print_table(["line", "key", "fields"], [[s.line, _short(s.key or ""), _short_fields(s.fields)] for s in shown])
        note(f"nothing was sent: {count:,} rows would be, {rejects.count:,} rejected{_where(rejects)}")
    return INCOMPLETE if rejects.count else OK


def _short_fields(fields: Mapping[str, Any]) -> str:
    from topics.event import exact_json  # noqa: PLC0415 - help needs none of it

    def shorter(value: Any) -> Any:
        text = value if isinstance(value, str) else exact_json.shown(value)
        return _short(text) if len(text) > SHOWN else value

    return exact_json.shown({name: shorter(value) for name, value in fields.items()})


def _short(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}... ({len(text):,} characters)"


def _send(
    session: Session, importing: CsvImport, todo: Iterator[Row], rejects: Rejects, options: dict[str, Any]
) -> int:
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # a stopped container is told where it was, too
    try:
        with progress("sending", options["lines"]) as advance:
            at = options["from_line"] - 1
            for line in importing.send(todo, wait=options["wait"]):
                advance(line - at)
                at = line
        importing.finish()
        outcomes = _await_outcomes(importing) if options["wait"] else {}
    except BaseException as error:
        _stopped(session, importing, rejects, error, options)
        if isinstance(error, WritebackError):
            return FAILED
        raise
    finally:
        signal.signal(signal.SIGTERM, before)
    return _summary(importing, rejects, outcomes, as_json=options["as_json"])


def _stopped(
    session: Session, importing: CsvImport, rejects: Rejects, error: BaseException, options: dict[str, Any]
) -> None:
    """Whatever stopped it: what the log has taken is counted, and the line to go on from is told."""
    from pq.csv.importer import ImportStopped  # noqa: PLC0415

    try:
        if not isinstance(error, ImportStopped):  # the log may be well: what it has been handed shall arrive
            session.flush(30)
            importing.finish()
    except WritebackError as lost:
        note(str(lost))
    importing.stopped()
    why = "interrupted" if isinstance(error, KeyboardInterrupt) else str(error) or type(error).__name__
    note(f"{why}; go on with --from-line {max(importing.next_line, options['from_line'])}")
    _summary(importing, rejects, {}, as_json=options["as_json"])


def _await_outcomes(importing: CsvImport) -> dict[str, int]:
    counts = {"success": 0, "error": 0}
    with progress("delivering", len(importing.receipts)) as advance:
        while importing.receipts:
            receipt = importing.receipts[0]
            status = receipt.wait(0.5)["status"]
            if status != "pending":
                importing.receipts.popleft()
                counts[status] += 1
                advance(1)
    return counts


def _summary(importing: CsvImport, rejects: Rejects, outcomes: dict[str, int], *, as_json: bool) -> int:
    counts = {"sent": importing.sent, "rejected": rejects.count}
    if outcomes:
        counts |= {"delivered": outcomes["success"], "dead": outcomes["error"]}
    if as_json:
        print_json(counts)
    else:
        say(", ".join(f"{count:,} {name}" for name, count in counts.items()) + _where(rejects))
    if counts.get("dead"):
        note("see `writeback dead-letters list`")
    return INCOMPLETE if rejects.count or counts.get("dead") else OK


def _where(rejects: Rejects) -> str:
    return f" (see {rejects.path})" if rejects.count else ""


def _lines(file: str) -> int | None:
    """How many lines a text has, for the bar; only where somebody looks at it."""
    from pq.csv.formats import PACKED  # noqa: PLC0415 - help needs none of it

    if file == "-" or not sys.stderr.isatty():
        return None
    with Path(file).open("rb") as source:
        if source.read(8).startswith(PACKED):
            return None
        source.seek(0)
        return sum(chunk.count(b"\n") for chunk in iter(lambda: source.read(1 << 20), b""))
