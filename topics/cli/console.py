"""What the commands of all rooms share on the command line: exit codes, ``--json``, tables, progress, clean errors.

For people on a terminal tables and bars are drawn with rich; into a pipe goes plain text, tab between the columns, so
that ``cut`` and ``grep`` work; ``--json`` is one JSON value. Numbers, tables and answers go to stdout, everything
about the run itself (progress, notes, errors) to stderr.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar

import click

from topics.cli.context import CommandContext
from topics.errors import SettingsError, WritebackError

OK = 0
FAILED = 1
USAGE = 2
"""Wrong usage, wrong settings."""
INCOMPLETE = 3
"""What was asked was done, but not for everything."""
INTERRUPTED = 130

_ESCAPES = {
    code: f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
    for code in (*range(0x20), *range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A))
    if chr(code) not in "\t\n"
}
"""Control characters (C0, DEL, C1) and those that turn the direction of text, as Python writes them."""
_IN_JSON = {code: f"\\u{code:04x}" for code in _ESCAPES if code > 0x1F}
"""Those of them that JSON lets stand in a text."""

_F = TypeVar("_F", bound=Callable[..., Any])

pass_context = click.make_pass_decorator(CommandContext)


def json_option(command: _F) -> _F:
    """Adds ``--json``; the command gets it as ``as_json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for machines.")(command)


def escaped(text: str) -> str:
    """The text without power over a terminal: what vendors, producers and files wrote is shown, never obeyed."""
    return text.replace("\r\n", "\n").translate(_ESCAPES)


def say(text: str) -> None:
    """An answer, to stdout."""
    click.echo(escaped(text))


def print_json(value: Any) -> None:
    """One JSON value on one line; what JSON does not know is written as text."""
    from topics.event import exact_json  # noqa: PLC0415 - help needs none of it

    click.echo(exact_json.shown(value).translate(_IN_JSON))


def print_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    title: str = "",
    empty: str = "Nothing here.",
) -> None:
    """Rows under their columns. Without any, ``empty`` is said (to stderr): an empty table looks broken."""
    if not rows:
        note(empty)
        return
    cells = [["" if cell is None else escaped(" ".join(str(cell).split())) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        for line in (columns, *cells):
            click.echo("\t".join(line))
        return
    from rich.console import Console  # noqa: PLC0415 - only on a terminal
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(*columns, title=title or None, title_justify="left", box=None, header_style="bold", pad_edge=False)
    for line in cells:
        table.add_row(*map(Text, line))  # Text: a vendor's words are not rich's markup
    Console().print(table)


def print_listing(
    rows: Sequence[Mapping[str, Any]],
    *,
    as_json: bool,
    columns: Sequence[str] | None = None,
    title: str = "",
    empty: str = "Nothing here.",
) -> None:
    """A list of the same things: one JSON array with everything, or a table of ``columns`` (default: all)."""
    if as_json:
        print_json([dict(row) for row in rows])
        return
    shown = list(columns or (rows[0] if rows else ()))
    heads = [name.replace("_", " ") for name in shown]
    print_table(heads, [[row.get(name) for name in shown] for row in rows], title=title, empty=empty)


def note(text: str) -> None:
    """A remark about the run, to stderr."""
    click.echo(escaped(text), err=True)


def when(seconds: float) -> str:
    """A moment (seconds since the epoch) as people read it, UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


@contextmanager
def progress(description: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """A bar on stderr while the block runs; gives ``advance(n)``. Silent when stderr is not a terminal."""
    if not sys.stderr.isatty():
        yield lambda _n: None
        return
    from rich import progress as bars  # noqa: PLC0415 - only on a terminal
    from rich.console import Console  # noqa: PLC0415

    columns = (
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        bars.MofNCompleteColumn(),
        bars.TimeElapsedColumn(),
        bars.TimeRemainingColumn(),
    )
    with bars.Progress(*columns, console=Console(stderr=True), transient=False) as bar:
        task = bar.add_task(description, total=total)
        yield lambda n: bar.advance(task, n)


@contextmanager
def status_line(description: str) -> Iterator[Callable[[str], None]]:
    """One line on stderr that says what is waited for; gives ``show(text)``.

    Where stderr is no terminal each text is a line of its own, said when it changes.
    """
    if not sys.stderr.isatty():
        last = [""]

        def tell(text: str) -> None:
            if text != last[0]:
                last[0] = text
                note(f"{description}: {text}")

        yield tell
        return
    from rich.console import Console  # noqa: PLC0415 - only on a terminal
    from rich.text import Text  # noqa: PLC0415

    with Console(stderr=True).status(description) as status:
        yield lambda text: status.update(Text(escaped(f"{description}: {text}")))


def run(command: click.Command, context: CommandContext, args: Sequence[str] | None = None) -> int:
    """Run a command and give its exit code; whatever happens is one message, never a traceback.

    What nobody foresaw is written into a report, whose place is told (or to standard error: ``WRITEBACK_REPORTS``).
    A reader that has gone away (``| head``) ends the command without a word, code 1; Ctrl-C gives 130. With ``--debug``
    the traceback of any failure is shown.
    """
    try:
        return _run(command, context, args)
    except KeyboardInterrupt:  # while it was being closed
        note("writeback: interrupted")
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the last line of defence
        return _unforeseen(error, context, sys.argv[1:] if args is None else args)


def _run(command: click.Command, context: CommandContext, args: Sequence[str] | None) -> int:
    try:
        result = command.main(args=args, prog_name="writeback", standalone_mode=False, obj=context)
        sys.stdout.flush()
        return result if isinstance(result, int) else OK
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return USAGE
    except click.ClickException as error:
        error.show()
        return USAGE if isinstance(error, click.UsageError) else error.exit_code
    except WritebackError as error:
        _show_traceback(error, context)
        note(f"writeback: {error}")
        return USAGE if isinstance(error, SettingsError) else FAILED
    except (click.Abort, KeyboardInterrupt):
        note("writeback: interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        _discard_stdout()
        return FAILED  # as click does when it notices first
    finally:
        context.close()


def _unforeseen(error: Exception, context: CommandContext, args: Sequence[str]) -> int:
    from topics.cli.report import Report  # noqa: PLC0415 - needed when nothing else is

    _show_traceback(error, context)
    report = Report(error, args, secrets=context.secrets())
    if context.reports_to_stderr():
        note(f"{report.text()}writeback: {report.line()}; the full report is above")
        return FAILED
    path = report.write()
    where = f"the full report is in {path}" if path else "it cannot be written down; --debug shows where it happened"
    note(f"writeback: {report.line()}; {where}")
    return FAILED


def _show_traceback(error: Exception, context: CommandContext) -> None:
    if context.wants_tracebacks():
        click.echo("".join(traceback.format_exception(error)), err=True)


def _discard_stdout() -> None:
    """What is still buffered has no reader; without this the interpreter complains about it when it exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
