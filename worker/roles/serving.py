"""One process that serves: its parts, its metrics, and what looks after a worker."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, TypeVar

from topics.cli.context import CommandContext
from topics.cli.logging import configure_logging
from worker.clock import SystemClock
from worker.process.gc import collect_rarely
from worker.process.malloc import share_one_arena
from worker.process.open_files import raise_limit
from worker.process.tls import use_small_buffers
from worker.process.watchdog import Watchdog
from worker.roles.running import Later, Part, run_until_signalled

if TYPE_CHECKING:
    from prometheus_client.core import Metric

    from worker.observe.endpoints import MetricsServer
    from worker.refresher.refresher import Refresher
    from worker.relay.relays import Relays
    from worker.roles.scheduler import Schedule
    from worker.worker import Worker

# ruff: noqa: PLC0415 - a part is loaded when it begins, and the metrics where they are served


class Role(Part, Protocol):
    """A part that can be a process of its own."""

    async def unready(self) -> str:
        """Why it cannot work now; empty when it can."""


R = TypeVar("R", bound=Role)


def serve(
    context: CommandContext,
    *,
    archive: bool,
    everything: bool = False,
    metrics_port: int | None = None,
    supervised: bool = False,
) -> None:
    """A worker until it is stopped, with the ``archive`` beside it, or ``everything`` there is."""
    configure_logging(context.settings)
    asyncio.run(
        _serve(context, archive=archive, everything=everything, metrics_port=metrics_port, supervised=supervised)
    )


def serve_alone(
    context: CommandContext,
    build: Callable[[CommandContext], R],
    collect: Callable[[R], Awaitable[list[Metric]]],
    metrics_port: int | None,
) -> None:
    """Another role in a process of its own, until it is stopped."""
    configure_logging(context.settings)
    asyncio.run(_serve_alone(context, build(context), collect, metrics_port))


async def _serve(
    context: CommandContext, *, archive: bool, everything: bool, metrics_port: int | None, supervised: bool
) -> None:
    """The worker, and what looks after it: a watchdog, the metrics."""
    from worker.roles import worker

    settings, clock = context.settings, SystemClock()
    share_one_arena()
    use_small_buffers()
    working = worker.build(context)
    refreshing, relaying = Later(partial(_refresher, context)), Later(partial(_relays, context))
    scheduling = Later(partial(_scheduler, context))
    parts: list[Part] = [working, *([Later(partial(_archive, context))] if archive else [])]
    if everything:
        parts += [refreshing, relaying, scheduling]
    port = settings.metrics_port if metrics_port is None else metrics_port
    metrics_server = None if port is None else _metrics_server(working, refreshing, relaying, scheduling)
    watchdog = Watchdog(clock)
    watchdog.start()
    raise_limit()
    collect_rarely()
    try:
        if metrics_server is not None and port is not None:
            await metrics_server.start(settings.metrics_host, port)
        loading = asyncio.create_task(asyncio.to_thread(_load_for_calls))
        await run_until_signalled(parts, supervised=supervised)
        await loading  # it was, while the log let us in; the first connection would have waited for it
    finally:
        watchdog.stop()
        if metrics_server is not None:
            metrics_server.stop()


def _load_for_calls() -> None:
    """What the first call of a connection needs."""
    for name in ("connectors.engine.runner.runner", "connectors.engine.transport.sockets"):
        import_module(name)


async def _serve_alone(
    context: CommandContext, part: R, collect: Callable[[R], Awaitable[list[Metric]]], metrics_port: int | None
) -> None:
    settings = context.settings
    port = settings.metrics_port if metrics_port is None else metrics_port
    server: MetricsServer | None = None
    if port is not None:
        from worker.observe.endpoints import MetricsServer

        server = MetricsServer(partial(collect, part), part.unready)
        await server.start(settings.metrics_host, port)
    try:
        await run_until_signalled([part])
    finally:
        if server is not None:
            server.stop()


def _metrics_server(
    working: Worker, refreshing: Later[Refresher], relaying: Later[Relays], scheduling: Later[Schedule]
) -> MetricsServer:
    from worker.observe.endpoints import MetricsServer
    from worker.observe.metrics import collect
    from worker.roles import refresher, relay, scheduler

    async def collect_all() -> list[Metric]:
        refreshed = await refresher.collect(refreshing.part) if refreshing.part is not None else []
        relayed = await relay.collect(relaying.part) if relaying.part is not None else []
        synced = await scheduler.collect(scheduling.part) if scheduling.part is not None else []
        return [*await collect(working.observer), *refreshed, *relayed, *synced]

    return MetricsServer(collect_all, working.unready, working.states)


def _refresher(context: CommandContext) -> Refresher:
    from worker.roles import refresher

    return refresher.build(context)


def _relays(context: CommandContext) -> Relays:
    from worker.roles import relay

    return relay.build(context)


def _scheduler(context: CommandContext) -> Schedule:
    from worker.roles import scheduler

    return scheduler.build(context)


def _archive(context: CommandContext) -> Part:
    from worker.roles import archive

    return archive.build(context)
