"""The relays' metrics for Prometheus. The label ``warehouse`` is the name of a database or file, not its URL."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from topics.errors import WritebackError
from worker.relay.relays import Relays

LABELS = ("warehouse",)


async def collect(relays: Relays) -> list[Metric]:
    """All metrics. The waiting rows are counted now; a warehouse that does not answer is left out there."""
    published = CounterMetricFamily(
        "writeback_relay_published", "Rows of the outbox that are in the topics", labels=LABELS
    )
    rejected = CounterMetricFamily("writeback_relay_rejected", "Rows that no event could be made of", labels=LABELS)
    unchanged = CounterMetricFamily(
        "writeback_relay_unchanged", "Rows that said only what was sent last for their record", labels=LABELS
    )
    failures = CounterMetricFamily(
        "writeback_relay_failures", "Times that the warehouse or the log did not answer", labels=LABELS
    )
    waiting = GaugeMetricFamily("writeback_relay_waiting_rows", "Rows that wait in the outbox", labels=LABELS)
    oldest = GaugeMetricFamily("writeback_relay_oldest_seconds", "How long the oldest of them waits", labels=LABELS)
    for url, relay in list(relays.running.items()):
        name = [Path(url.database or "").name]
        published.add_metric(name, relay.published)
        rejected.add_metric(name, relay.rejected)
        unchanged.add_metric(name, relay.unchanged)
        failures.add_metric(name, relay.failures)
        backlog = await asyncio.to_thread(_answered, relay.backlog)
        if backlog is not None:
            waiting.add_metric(name, backlog[0])
            oldest.add_metric(name, backlog[1])
    return [published, rejected, unchanged, failures, waiting, oldest]


def _answered(look: Callable[[], tuple[int, float]]) -> tuple[int, float] | None:
    try:
        return look()
    except WritebackError:
        return None
