"""``writeback up``, ``worker``, ``refresher``, ``relay`` and ``scheduler``: what runs until it is told to stop."""

from __future__ import annotations

import os

import click

from topics.cli.console import note, pass_context
from topics.cli.context import CommandContext

_metrics_option = click.option(
    "--metrics-port",
    type=click.IntRange(0, 65_535),
    help="Serve /metrics, /states, /healthz and /readyz on this port, whatever WRITEBACK_METRICS_PORT says.",
)

# ruff: noqa: PLC0415 - what a role runs is loaded when it runs: the help is read often, and should be there at once


@click.command()
@_metrics_option
@pass_context
def up(context: CommandContext, *, metrics_port: int | None) -> None:
    """Run everything in one process: worker, refresher, relay, scheduler and the archive of dead letters.

    With no settings at all the log and the store are files in ~/.writeback; nothing else is needed. Ctrl-C (or
    SIGTERM) lets the calls under way finish; a second one ends at once, and nothing is lost by it.
    """
    note(f"The log is {context.settings.log}. Ctrl-C stops.")
    from worker.roles.serving import serve

    serve(context, archive=True, everything=True, metrics_port=metrics_port)


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
        from worker.roles.serving import serve

        serve(context, archive=archive, metrics_port=metrics_port)
        return None
    from worker.roles.processes import supervise

    return supervise(context, _process_count(context, processes), archive=archive, metrics_port=metrics_port)


@click.command()
@_metrics_option
@pass_context
def relay(context: CommandContext, *, metrics_port: int | None) -> None:
    """Run a relay: it takes the rows that triggers wrote into the warehouse's outbox to the topics.

    Start as many as you like: one works for each warehouse, and another takes over when it ends. While the log does
    not answer the rows stay where they are, and whoever writes the tables is not held up.
    """
    from worker.roles.relay import build, collect
    from worker.roles.serving import serve_alone

    serve_alone(context, build, collect, metrics_port)


@click.command()
@_metrics_option
@pass_context
def refresher(context: CommandContext, *, metrics_port: int | None) -> None:
    """Run a refresher: it loads connections into the warehouse again, as scripts and people ask for it.

    Start as many as you like: they share the connections among them, and a connection's refresh runs only once at a
    time. Each refresh is a process of its own (WRITEBACK_REFRESHES_AT_ONCE). On SIGTERM those under way are cut off;
    another refresher runs them again.
    """
    from worker.roles.refresher import build, collect
    from worker.roles.serving import serve_alone

    serve_alone(context, build, collect, metrics_port)


@click.command()
@_metrics_option
@pass_context
def scheduler(context: CommandContext, *, metrics_port: int | None) -> None:
    """Run a scheduler: it runs syncs (./syncs) when they are due, and looks at alerts (./alerts).

    A sync runs by its schedule; an alert is looked at as often as it says.

    Start as many as you like: a sync runs only once at a time in all of them, and a run that was missed is made up for
    once. On SIGTERM a run that is under way ends, and the next one goes on where it was.
    """
    from worker.roles.scheduler import build, collect
    from worker.roles.serving import serve_alone

    serve_alone(context, build, collect, metrics_port)


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
