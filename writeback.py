"""The front door: the command line, and the only place that wires the rooms together."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Protocol

import click

from topics.console import INTERRUPTED, note, pass_rooms, run
from topics.rooms import Rooms

if TYPE_CHECKING:
    from topics.settings import Settings

SECTIONS: dict[str, dict[str, tuple[str, str]]] = {
    "Run": {
        "demo": ("worker.demo.play:demo", "See the main job at work on this machine, reckoned to the last event."),
        "up": ("writeback:up", "Everything in one process: the worker and the archive of dead letters."),
        "worker": ("writeback:worker", "A worker, one of as many as you like, on the log that WRITEBACK_LOG names."),
        "doctor": ("worker.cli:doctor", "Check log, store, secrets and connections; say what is wrong and what to do."),
    },
    "Send": {
        "emit": ("pq.cli:emit", "Send one event, or one per line of stdin."),
        "import": ("pq.cli_import:import_csv", "Send an event for each row of a CSV file."),
    },
    "Look": {
        "results": ("topics.cli:results", "What became of each event: the ledger of outcomes."),
        "topics": ("topics.cli:topics", "The topics of the log, and how far the workers are in each."),
        "dead-letters": ("dead_letter.cli:dead_letters", "What could not be delivered: list, show, replay, discard."),
    },
    "Set up": {
        "connections": ("connectors.cli:connections", "The SaaS accounts that events can be sent to."),
        "connectors": ("connectors.cli:connectors", "The SaaS applications that can be connected, and their objects."),
    },
}

HELP = """Carries changes from the warehouse back into SaaS applications.

\b
  writeback connections add hubspot --connector hubspot
  writeback up
  writeback emit hubspot add contact '{"email": "john@acme.com"}'
  writeback import contacts.csv --connection hubspot \\
      --object contact --operation upsert --key email
  writeback dead-letters list

Settings come from WRITEBACK_... variables, .env and writeback.toml; without any, everything is kept in ~/.writeback
on this machine. Exit codes: 0 done, 1 failed, 2 wrong usage or settings, 3 not everything was done.
"""


class LazyGroup(click.Group):
    """Loads a command's room only when that command runs: help is read often, and should be there at once."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - the signature is click's
        return [name for section in SECTIONS.values() for name in section]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        for section in SECTIONS.values():
            if cmd_name in section:
                module, _, attribute = section[cmd_name][0].partition(":")
                command: click.Command = getattr(import_module(module), attribute)
                return command
        return None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        width = max(len(name) for section in SECTIONS.values() for name in section)
        for title, section in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), about) for name, (_, about) in section.items()])


@click.group(cls=LazyGroup, help=HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="writeback", message="writeback %(version)s")
def cli() -> None: ...


class Part(Protocol):
    """Something that runs until it is told to stop."""

    async def run(self, stop: asyncio.Event) -> None: ...


@click.command()
@pass_rooms
def up(rooms: Rooms) -> None:
    """Run everything in one process: the worker and the archive of dead letters.

    With no settings at all the log and the store are files in ~/.writeback; nothing else is needed. Ctrl-C (or
    SIGTERM) lets the calls under way finish; a second one ends at once, and nothing is lost by it.
    """
    note(f"The log is {rooms.settings.log}. Ctrl-C stops.")
    _serve(rooms, archive=True)


@click.command()
@click.option("--archive/--no-archive", default=True, help="Also take dead letters into the store.", show_default=True)
@pass_rooms
def worker(rooms: Rooms, *, archive: bool) -> None:
    """Run a worker on the log that WRITEBACK_LOG names.

    Start as many as you like, on as many machines: they share the connections among them. On SIGTERM a worker lets
    the calls under way finish (WRITEBACK_GRACE_SECONDS), writes down how far it is, and ends; another takes over.
    """
    _serve(rooms, archive=archive)


def _serve(rooms: Rooms, *, archive: bool) -> None:
    configure_logging(rooms.settings)
    parts = [_worker(rooms), *([_archive(rooms)] if archive else [])]
    asyncio.run(_run_until_signalled(parts))


def _worker(rooms: Rooms) -> Part:
    from connectors import registry  # noqa: PLC0415 - every import below is for running, not for help
    from connectors.connections import Connections  # noqa: PLC0415
    from worker.worker import Worker, WorkerSettings  # noqa: PLC0415

    settings = rooms.settings
    return Worker(
        log=rooms.log(),
        connections=Connections(rooms.store(), settings.secret_key),
        build=registry.build,
        settings=WorkerSettings(
            group=settings.group,
            member=settings.member,
            budget_records=settings.budget_records,
            budget_bytes=settings.budget_bytes,
            grace_seconds=settings.grace_seconds,
        ),
    )


def _archive(rooms: Rooms) -> Part:
    from dead_letter.archive import Archive  # noqa: PLC0415
    from dead_letter.store import LetterStore  # noqa: PLC0415

    return Archive(rooms.log(), LetterStore(rooms.store()))


async def _run_until_signalled(parts: Sequence[Part]) -> None:
    """Run all parts; the first signal asks them to stop, the second ends the process. One that fails stops all."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _stop_or_exit, stop, number)
    tasks = [asyncio.create_task(part.run(stop)) for part in parts]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    stop.set()
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome


def _stop_or_exit(stop: asyncio.Event, number: int) -> None:
    if stop.is_set():
        os._exit(INTERRUPTED if number == signal.SIGINT else 128 + number)  # what is undone is undone: not committed
    stop.set()


def configure_logging(settings: Settings) -> None:
    """Structlog to stderr: for people on a terminal, JSON lines otherwise, or as ``log_format`` says."""
    import logging  # noqa: PLC0415

    import structlog  # noqa: PLC0415

    for_people = settings.log_format == "console" or (settings.log_format == "auto" and sys.stderr.isatty())
    # Plain tracebacks in both: the pretty ones print local variables, and those hold payloads and secrets.
    last: list[structlog.typing.Processor] = (
        [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
        if for_people
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)]
    )
    level = getattr(logging, settings.log_level.upper())
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *last,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(
        level=max(level, logging.WARNING), stream=sys.stderr, format="%(levelname)s %(name)s %(message)s"
    )


def main() -> None:
    sys.exit(run(cli, Rooms()))


if __name__ == "__main__":
    main()
