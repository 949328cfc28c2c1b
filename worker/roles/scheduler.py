"""The scheduler as a role: it runs syncs when they are due, and looks at alerts."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from topics.cli.context import CommandContext
from worker.alerts.watch import Watch
from worker.clock import SystemClock
from worker.syncs.run.run import Runner
from worker.syncs.scheduler import Scheduler

if TYPE_CHECKING:
    from prometheus_client.core import Metric


class Schedule:
    """Both until they are told to stop; one that fails ends the other."""

    def __init__(self, syncs: Scheduler, alerts: Watch) -> None:
        self.syncs = syncs
        self._alerts = alerts

    async def run(self, stop: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.syncs.run(stop))
            tasks.create_task(self._alerts.run(stop))

    async def unready(self) -> str:
        """Why it cannot work; empty when it can."""
        return await self.syncs.unready()


def build(context: CommandContext) -> Schedule:
    settings, store, log, clock = context.settings, context.store(), context.log(), SystemClock()
    return Schedule(
        Scheduler(Runner(settings, store, log, clock), settings.syncs.expanduser(), clock),
        Watch(settings, store, log, clock, settings.alerts.expanduser()),
    )


async def collect(schedule: Schedule) -> list[Metric]:
    """Its metrics."""
    from worker.syncs import metrics  # noqa: PLC0415 - most run without a metrics port

    return list(metrics.collect(schedule.syncs.ended))
