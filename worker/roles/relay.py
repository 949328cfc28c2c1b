"""The relay as a role: one for each warehouse that has an outbox."""

from __future__ import annotations

from typing import TYPE_CHECKING

from connectors.connections.store import Connections
from topics.cli.context import CommandContext
from worker.clock import SystemClock
from worker.relay.relays import Relays, relays

if TYPE_CHECKING:
    from prometheus_client.core import Metric


def build(context: CommandContext) -> Relays:
    settings = context.settings
    return relays(settings, context.log(), Connections(context.store(), settings.secret_key), SystemClock())


async def collect(relays: Relays) -> list[Metric]:
    """Its metrics."""
    from worker.relay import metrics  # noqa: PLC0415 - most run without a metrics port

    return await metrics.collect(relays)
