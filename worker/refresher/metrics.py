"""The refresher's metrics for Prometheus, read when somebody asks; ``counts.py`` does the counting."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from worker.refresher.refresher import Refresher


def collect(refresher: Refresher) -> Iterator[Metric]:
    counts = refresher.counts
    requests = CounterMetricFamily("writeback_refresh_requests", "Requests that were read", labels=["connection"])
    for slug, count in counts.requests.items():
        requests.add_metric([slug], count)
    yield requests
    dead = CounterMetricFamily(
        "writeback_refresh_requests_dead", "Requests that became dead letters", labels=["connection"]
    )
    for slug, count in counts.dead_lettered.items():
        dead.add_metric([slug], count)
    yield dead
    runs = CounterMetricFamily(
        "writeback_refresh_runs",
        "Runs that ended: ok, failed (tried again) or dead (given up)",
        labels=["connection", "state"],
    )
    for (slug, state), count in counts.runs.items():
        runs.add_metric([slug, state], count)
    yield runs
    rows = CounterMetricFamily("writeback_refresh_rows", "Rows that runs loaded", labels=["connection", "object"])
    for (slug, name), count in counts.rows.items():
        rows.add_metric([slug, name], count)
    yield rows
    seconds = HistogramMetricFamily("writeback_refresh_seconds", "How long runs took", labels=["connection"])
    for slug, histogram in counts.seconds.items():
        seconds.add_metric([slug], histogram.cumulative(), histogram.total)
    yield seconds
    yield GaugeMetricFamily(
        "writeback_refresh_requests_waiting", "Requests whose run has not begun", len(refresher.debouncer)
    )
    yield GaugeMetricFamily(
        "writeback_refresh_running", "Connections whose refresh runs, or is about to", len(refresher.running)
    )
