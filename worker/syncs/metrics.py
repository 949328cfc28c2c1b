"""The scheduler's metrics for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, Metric


def collect(ended: Mapping[tuple[str, str], int]) -> Iterator[Metric]:
    """``ended``: runs by (sync, how they ended)."""
    runs = CounterMetricFamily(
        "writeback_sync_runs", "Runs of syncs that ended: ok, failed or stopped by a guard", labels=("sync", "outcome")
    )
    for labels, count in ended.items():
        runs.add_metric(labels, count)
    yield runs
