"""The scheduler of syncs as a role."""

from __future__ import annotations

from typing import TYPE_CHECKING

from topics.cli.context import CommandContext
from worker.clock import SystemClock
from worker.syncs.run.run import Runner
from worker.syncs.scheduler import Scheduler

if TYPE_CHECKING:
    from prometheus_client.core import Metric


def build(context: CommandContext) -> Scheduler:
    settings, clock = context.settings, SystemClock()
    return Scheduler(Runner(settings, context.store(), context.log(), clock), settings.syncs.expanduser(), clock)


async def collect(scheduler: Scheduler) -> list[Metric]:
    """Its metrics."""
    from worker.syncs import metrics  # noqa: PLC0415 - most run without a metrics port

    return list(metrics.collect(scheduler.ended))
