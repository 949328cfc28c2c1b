"""The front door: the command line, and the only place that wires the rooms together."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from functools import partial
from importlib import import_module
from socket import gethostname
from typing import TYPE_CHECKING, Any, Protocol

import click

from topics.cli.console import INTERRUPTED, note, pass_context, run
from topics.cli.context import CommandContext

if TYPE_CHECKING:
    from prometheus_client.core import Metric
    from sqlalchemy import Engine

    from connectors.connections.store import Connection, Connections
    from connectors.contract import Connector
    from topics.settings import Settings
    from worker.observe.endpoints import MetricsServer
    from worker.process.secret_writer import SecretWriter
    from worker.refresher.refresher import Refresher
    from worker.relay.relays import Relays
    from worker.worker import Worker

SECTIONS: dict[str, dict[str, tuple[str, str]]] = {
    "Run": {
        "demo": ("worker.demo.play:demo", "See the main job at work on this machine, reckoned to the last event."),
        "up": ("writeback:up", "Everything in one process: worker, refresher, relay, the archive of dead letters."),
        "worker": ("writeback:worker", "A worker, one of as many as you like, on the log that WRITEBACK_LOG names."),
        "refresher": ("writeback:refresher", "Load connections into the warehouse again, as they are asked for."),
        "relay": ("writeback:relay", "Take what triggers wrote in the warehouse to the topics."),
        "doctor": (
            "worker.observe.doctor_command:doctor",
            "Check log, store, secrets and connections; say what is wrong and what to do.",
        ),
    },
    "Send": {
        "emit": ("pq.cli.emit:emit", "Send one event, or one per line of stdin."),
        "import": ("pq.cli.import_csv:import_csv", "Send an event for each row of a CSV file."),
        "refresh": ("worker.refresher.commands:refresh", "Load a connection's data into the warehouse again."),
    },
    "Look": {
        "results": ("topics.cli.commands:results", "What became of each event: the ledger of outcomes."),
        "refreshes": ("worker.refresher.commands:refreshes", "The refreshes there were, and what they loaded."),
        "topics": ("topics.cli.commands:topics", "The topics of the log, and how far the workers are in each."),
        "dead-letters": (
            "dead_letter.cli.commands:dead_letters",
            "What could not be delivered: list, show, replay, discard.",
        ),
    },
    "Set up": {
        "triggers": (
            "worker.relay.commands:triggers",
            "Triggers in the warehouse: a change of a row becomes an event.",
        ),
        "connections": ("connectors.cli.commands:connections", "The SaaS accounts that events can be sent to."),
        "connectors": (
            "connectors.cli.commands:connectors",
            "The SaaS applications that can be connected, and their objects.",
        ),
    },
}

HELP = """Carries changes from the warehouse back into SaaS applications.

\b
  writeback connections add hubspot --secret access_token=env:HUBSPOT_TOKEN
  writeback up
  writeback emit hubspot add contact '{"email": "john@acme.com"}'
  writeback import contacts.csv --connection hubspot \\
      --object contact --operation upsert --key email
  writeback dead-letters list

Settings come from WRITEBACK_... variables, .env and writeback.toml; without any, everything is kept in ~/.writeback
on this machine. Exit codes: 0 done, 1 failed, 2 wrong usage or settings, 3 not everything was done.
"""


STDIN = 0
LATER_SECONDS = 1.0
"""After this the archive begins: nobody waits for it, and the worker has enough to do when it starts."""
BESIDE_SECONDS = 2.0
"""How long the worker goes on, at a stop, for the archive to end: longer than it polls."""
KEEP_SECONDS = 5.0
"""How long a stop waits for the store to take a secret that the vendor replaced."""

HELD_BACK = frozenset({"paused", "quarantined", "down", "held"})
"""What is put onto the topic of a connection in one of these states stays there until somebody ends it."""

LOADED = (
    "concurrent.futures.thread",
    "connectors.saas.http.connector",
    "connectors.engine.runner.runner",
    "dead_letter.store.archive",
    "dead_letter.store.parking",
    "dead_letter.store.store",
    "encodings.idna",
    "worker.process.malloc",
    "worker.process.open_files",
    "worker.process.secret_writer",
    "worker.process.watchdog",
    "worker.worker",
)
"""What every worker runs; METERED: what one runs that serves its metrics, SEALED: that can open secrets."""
METERED = ("worker.observe.endpoints", "worker.observe.metrics")
SEALED = ("cryptography.fernet", "cryptography.hazmat.primitives.kdf.scrypt")


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
@click.option("--debug", is_flag=True, help="Show the traceback of whatever fails; WRITEBACK_DEBUG=true does, too.")
@pass_context
def cli(context: CommandContext, *, debug: bool) -> None:
    context.debug = debug


class Part(Protocol):
    """Something that runs until it is told to stop."""

    async def run(self, stop: asyncio.Event) -> None: ...


class Later:
    """A part that is made and begun a little later than the others."""

    def __init__(self, make: Callable[[], Part]) -> None:
        self._make = make
        self.part: Part | None = None

    async def run(self, stop: asyncio.Event) -> None:
        try:
            await asyncio.wait_for(stop.wait(), LATER_SECONDS)
        except TimeoutError:
            self.part = await asyncio.to_thread(self._make)
            await self.part.run(stop)


_metrics_option = click.option(
    "--metrics-port",
    type=click.IntRange(0, 65_535),
    help="Serve /metrics, /states, /healthz and /readyz on this port, whatever WRITEBACK_METRICS_PORT says.",
)


@click.command()
@_metrics_option
@pass_context
def up(context: CommandContext, *, metrics_port: int | None) -> None:
    """Run everything in one process: the worker, the refresher, the relay and the archive of dead letters.

    With no settings at all the log and the store are files in ~/.writeback; nothing else is needed. Ctrl-C (or
    SIGTERM) lets the calls under way finish; a second one ends at once, and nothing is lost by it.
    """
    note(f"The log is {context.settings.log}. Ctrl-C stops.")
    _serve(context, archive=True, everything=True, metrics_port=metrics_port)


@click.command()
@click.option("--archive/--no-archive", default=True, help="Also take dead letters into the store.", show_default=True)
@click.option(
    "--processes",
    type=click.IntRange(min=0),
    help="Run so many workers, each a process of its own, and start again one that dies. 0: as many as cores.",
)
@_metrics_option
@pass_context
def worker(context: CommandContext, *, archive: bool, processes: int | None, metrics_port: int | None) -> int | None:
    """Run a worker on the log that WRITEBACK_LOG names.

    Start as many as you like, on as many machines: they share the connections among them. On SIGTERM a worker lets
    the calls under way finish (WRITEBACK_GRACE_SECONDS), writes down how far it is, and ends; another takes over.

    One process uses one core. With --processes each process is such a worker; one of them takes the dead letters
    into the store, and the n-th serves its metrics on the n-th port from WRITEBACK_METRICS_PORT on.
    """
    if processes is None:
        _serve(context, archive=archive, metrics_port=metrics_port)
        return None
    return _supervise(context.settings, _process_count(context, processes), archive=archive, metrics_port=metrics_port)


@click.command()
@_metrics_option
@pass_context
def relay(context: CommandContext, *, metrics_port: int | None) -> None:
    """Run a relay: it takes the rows that triggers wrote into the warehouse's outbox to the topics.

    Start as many as you like: one works for each warehouse, and another takes over when it ends. While the log does
    not answer the rows stay where they are, and whoever writes the tables is not held up.
    """
    from topics.cli.logging import configure_logging  # noqa: PLC0415

    configure_logging(context.settings)
    asyncio.run(_attended_relay(context, metrics_port))


@click.command()
@_metrics_option
@pass_context
def refresher(context: CommandContext, *, metrics_port: int | None) -> None:
    """Run a refresher: it loads connections into the warehouse again, as scripts and people ask for it.

    Start as many as you like: they share the connections among them, and a connection's refresh runs only once at a
    time. Each refresh is a process of its own (WRITEBACK_REFRESHES_AT_ONCE). On SIGTERM those under way are cut off;
    another refresher runs them again.
    """
    from topics.cli.logging import configure_logging  # noqa: PLC0415

    configure_logging(context.settings)
    asyncio.run(_attended_refresher(context, metrics_port))


def _process_count(context: CommandContext, wanted: int) -> int:
    if context.settings.log.startswith("sqlite"):
        if wanted > 1:
            raise click.UsageError(
                f"--processes {wanted}: the embedded log is one worker's at a time, the others would stand by. "
                "More than one core needs Kafka: WRITEBACK_LOG=kafka://host:9092"
            )
        if not wanted:
            note("The embedded log is one worker's at a time, so one process runs.")
        return 1
    return wanted or len(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1))


def _supervise(settings: Settings, count: int, *, archive: bool, metrics_port: int | None) -> int:
    from topics.cli.logging import configure_logging  # noqa: PLC0415 - every import here is for running, not for help

    configure_logging(settings)  # first: what is loaded next finds it as it is to be
    from worker.clock import SystemClock  # noqa: PLC0415
    from worker.process.children import ChildProcesses  # noqa: PLC0415
    from worker.process.gc import keep  # noqa: PLC0415
    from worker.process.supervisor import Supervisor  # noqa: PLC0415

    _load(settings, metrics=(settings.metrics_port if metrics_port is None else metrics_port) is not None)
    keep()
    with ChildProcesses() as children:
        number, code = Supervisor(count, children, grace=settings.grace_seconds, clock=SystemClock()).run()
        if number is not None:  # this is the n-th worker
            with closing(CommandContext(lambda: _own(settings, number, metrics_port), slugs_in=_own_slugs)) as context:
                _serve(context, archive=archive and number == 0, supervised=True)
    return code


def _own(settings: Settings, number: int, metrics_port: int | None) -> Settings:
    """The settings of the n-th worker: a name and a port of its own, where there is one."""
    port = settings.metrics_port if metrics_port is None else metrics_port
    member = settings.member and f"{settings.member}-{number}"
    return settings.model_copy(update={"member": member, "metrics_port": port and port + number})


def _load(settings: Settings, *, metrics: bool) -> None:
    """Whatever a worker would import: what is loaded before the fork is in memory once, and nothing of it is open.

    What is left out is no mistake, only dearer: each worker loads it for itself. Raises ``SettingsError``.
    """
    for name in (*LOADED, *(METERED if metrics else ()), *(SEALED if settings.secret_key else ())):
        import_module(name)
    from connectors import registry  # noqa: PLC0415
    from topics.store import open_store  # noqa: PLC0415

    for name in registry.names():
        registry.manifest(name)
    settings.open_log().close()  # the drivers of both; neither connects before it is used
    open_store(settings.store).dispose()


def _serve(
    context: CommandContext,
    *,
    archive: bool,
    everything: bool = False,
    metrics_port: int | None = None,
    supervised: bool = False,
) -> None:
    from topics.cli.logging import configure_logging  # noqa: PLC0415

    configure_logging(context.settings)
    asyncio.run(
        _attended(context, archive=archive, everything=everything, metrics_port=metrics_port, supervised=supervised)
    )


async def _attended(
    context: CommandContext, *, archive: bool, everything: bool, metrics_port: int | None, supervised: bool
) -> None:
    """The worker, and what looks after it: a watchdog, the metrics, whoever keeps its secrets."""
    from worker.clock import SystemClock  # noqa: PLC0415
    from worker.process.gc import collect_rarely  # noqa: PLC0415
    from worker.process.malloc import share_one_arena  # noqa: PLC0415
    from worker.process.open_files import raise_limit  # noqa: PLC0415
    from worker.process.secret_writer import SecretWriter  # noqa: PLC0415
    from worker.process.watchdog import Watchdog  # noqa: PLC0415

    settings, clock = context.settings, SystemClock()
    share_one_arena()
    secret_writer = SecretWriter(_connections(context), clock)
    working = _worker(context, secret_writer)
    parts: list[Part] = [working, *([Later(partial(_archive, context))] if archive else [])]
    refreshing, relaying = Later(partial(_refresher, context)), Later(partial(_relays, context))
    if everything:
        parts += [refreshing, relaying]
    port = settings.metrics_port if metrics_port is None else metrics_port
    metrics_server = None if port is None else _metrics_server(working, refreshing, relaying)
    watchdog = Watchdog(clock)
    watchdog.start()
    raise_limit()
    collect_rarely()
    try:
        if metrics_server is not None and port is not None:
            await metrics_server.start(settings.metrics_host, port)
        loading = asyncio.create_task(asyncio.to_thread(import_module, "connectors.engine.runner.runner"))
        await _run_until_signalled(parts, supervised=supervised)
        await loading  # it was, while the log let us in; the first connection would have waited for it
    finally:
        watchdog.stop()
        await secret_writer.close(KEEP_SECONDS)
        if metrics_server is not None:
            metrics_server.stop()


def _metrics_server(working: Worker, refreshing: Later, relaying: Later) -> MetricsServer:
    from worker.observe.endpoints import MetricsServer  # noqa: PLC0415
    from worker.observe.metrics import collect  # noqa: PLC0415

    async def collect_all() -> list[Metric]:
        refreshed = _refresh_metrics(refreshing.part) if refreshing.part is not None else []
        relayed = await _relay_metrics(relaying.part) if relaying.part is not None else []
        return [*await collect(working.observer), *refreshed, *relayed]

    return MetricsServer(collect_all, working.unready, working.states)


def _refresh_metrics(part: Any) -> list[Metric]:
    from worker.refresher.metrics import collect  # noqa: PLC0415

    return list(collect(part))


async def _relay_metrics(part: Any) -> list[Metric]:
    from worker.relay.metrics import collect  # noqa: PLC0415

    return await collect(part)


async def _attended_refresher(context: CommandContext, metrics_port: int | None) -> None:
    part = _refresher(context)

    async def collect() -> list[Metric]:
        return _refresh_metrics(part)

    await _attended_alone(context, part, collect, part.unready, metrics_port)


async def _attended_relay(context: CommandContext, metrics_port: int | None) -> None:
    part = _relays(context)
    await _attended_alone(context, part, partial(_relay_metrics, part), part.unready, metrics_port)


async def _attended_alone(
    context: CommandContext,
    part: Part,
    collect: Callable[[], Awaitable[list[Metric]]],
    unready: Callable[[], Awaitable[str]],
    metrics_port: int | None,
) -> None:
    """A part that is a process of its own, and its metrics."""
    settings = context.settings
    port = settings.metrics_port if metrics_port is None else metrics_port
    server: MetricsServer | None = None
    if port is not None:
        from worker.observe.endpoints import MetricsServer  # noqa: PLC0415

        server = MetricsServer(collect, unready)
        await server.start(settings.metrics_host, port)
    try:
        await _run_until_signalled([part])
    finally:
        if server is not None:
            server.stop()


def _refresher(context: CommandContext) -> Refresher:
    from connectors import registry  # noqa: PLC0415
    from connectors.connections.store import Connections  # noqa: PLC0415
    from topics.settings import seconds_of  # noqa: PLC0415
    from worker.clock import SystemClock  # noqa: PLC0415
    from worker.refresher.child import ChildRun, command_for  # noqa: PLC0415
    from worker.refresher.leases import Leases, Watch  # noqa: PLC0415
    from worker.refresher.refresher import Refresher, RefresherSettings  # noqa: PLC0415
    from worker.refresher.run import Runner  # noqa: PLC0415
    from worker.refresher.runs import Runs  # noqa: PLC0415

    settings, clock, store = context.settings, SystemClock(), context.store()
    connections = Connections(store, settings.secret_key, check=registry.check)

    def upgrade(connection: Connection) -> Connection:
        newest = registry.manifest(connection.connector).version
        return connection if connection.version == newest else connections.update(connection.id, version=newest)

    return Refresher(
        log=context.log(),
        connections=connections,
        runner=Runner(
            Leases(store),
            Runs(store),
            lambda connection: ChildRun(command_for(connection)),
            clock,
            holder=f"{gethostname()}:{os.getpid()}",
            watch=Watch(),
        ),
        upgrade=upgrade,
        settings=RefresherSettings(
            at_once=settings.refreshes_at_once,
            group=settings.names.refresher_group,
            worker_group=settings.group,
            keep_seconds=seconds_of(settings.events_retention),
        ),
        clock=clock,
    )


def _relays(context: CommandContext) -> Relays:
    from worker.clock import SystemClock  # noqa: PLC0415
    from worker.relay.relays import relays  # noqa: PLC0415

    return relays(context.settings, context.log(), _connections(context), SystemClock())


def _connections(context: CommandContext) -> Connections:
    from connectors.connections.store import Connections  # noqa: PLC0415

    return Connections(context.store(), context.settings.secret_key)


def _held_back(context: CommandContext) -> dict[str, str]:
    standings = _connections(context).standings()
    return {slug: f"{slug} is {standing}" for slug, standing in standings.items() if standing.state in HELD_BACK}


def _worker(context: CommandContext, secret_writer: SecretWriter) -> Worker:
    from connectors import registry  # noqa: PLC0415
    from dead_letter.store.parking import Parking  # noqa: PLC0415
    from topics.orders import Orders  # noqa: PLC0415
    from topics.settings import seconds_of  # noqa: PLC0415
    from worker.worker import Worker, WorkerSettings  # noqa: PLC0415

    settings = context.settings

    def build(connection: Connection, secrets: dict[str, str]) -> Connector:
        def save(name: str, value: str) -> None:
            secrets[name] = value
            secret_writer.keep(connection, name, value)

        return registry.build(connection, secrets, save_secret=save)

    return Worker(
        log=context.log(),
        connections=_connections(context),
        parking=Parking(context.store()),
        orders=Orders(context.store()),
        build=build,
        settings=WorkerSettings(
            group=settings.group,
            member=settings.member,
            budget_records=settings.budget_records,
            budget_bytes=settings.budget_bytes,
            grace_seconds=settings.grace_seconds,
            keep_seconds=seconds_of(settings.events_retention),
        ),
    )


def _archive(context: CommandContext) -> Part:
    from dead_letter.store.archive import Archive  # noqa: PLC0415
    from dead_letter.store.store import LetterStore  # noqa: PLC0415
    from topics.settings import seconds_of  # noqa: PLC0415

    keep_s = seconds_of(context.settings.letters_retention)
    return Archive(context.log(), LetterStore(context.store(), context.known_slugs), keep_s=keep_s, now=time.time)


async def _run_until_signalled(parts: Sequence[Part], *, supervised: bool = False) -> None:
    """Run all parts; the first signal asks them to stop, the second ends the process. One that fails stops all.

    The first part stops last: as long as another one holds up the end of this process, nobody takes over its work.
    ``supervised``: standard input is a pipe that a supervisor holds; when it ends, the supervisor has.
    """
    stop, last = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _stop_or_exit, stop, number)
    if supervised:
        loop.add_reader(STDIN, _orphaned, stop)
    tasks = [asyncio.create_task(part.run(stop if number else last)) for number, part in enumerate(parts)]
    asked = asyncio.create_task(stop.wait())
    await asyncio.wait([asked, *tasks], return_when=asyncio.FIRST_COMPLETED)
    stop.set()
    if beside := tasks[1:]:
        await asyncio.wait(beside, timeout=BESIDE_SECONDS)
    last.set()
    await asked
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome


def _stop_or_exit(stop: asyncio.Event, number: int) -> None:
    if stop.is_set():
        os._exit(INTERRUPTED if number == signal.SIGINT else 128 + number)  # what is undone is undone: not committed
    stop.set()


def _orphaned(stop: asyncio.Event) -> None:
    asyncio.get_running_loop().remove_reader(STDIN)
    stop.set()


def main() -> None:
    sys.exit(run(cli, CommandContext(held_back=_held_back, slugs_in=_own_slugs)))


def _own_slugs(store: Engine) -> set[str]:
    """The connections of a store, and what was dead-lettered in it on purpose for connections that are none."""
    from connectors.connections.store import Connections  # noqa: PLC0415
    from topics.orders import Orders  # noqa: PLC0415

    return {*Connections(store).revisions(), *Orders(store).buried()}


if __name__ == "__main__":
    main()
