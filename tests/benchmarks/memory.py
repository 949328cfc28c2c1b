"""Resident memory of a worker at a small and at a large backlog: it must not grow with what waits."""

from __future__ import annotations

from collections.abc import Iterator

from tests.benchmarks.figures import Figure
from tests.benchmarks.sizes import Sizes
from tests.benchmarks.stand import Run, Stand, measure
from tests.benchmarks.work import batched

CASE = "backlog"
MOST_MB = 150
FLAT = 1.1
SECONDS = 900.0


def figures(stand: Stand, sizes: Sizes) -> Iterator[Figure]:
    runs = []
    for backlog in sizes.backlogs:
        run = _run(stand, backlog)
        runs.append(run)
        who = f"writeback worker, {backlog:,} events"
        yield Figure(CASE, who, "peak memory", "MB", (run.peak_mb,), at_most=MOST_MB)
        yield Figure(CASE, who, "rate", "events/s", (run.rate,), note="batches of 100, 5 ms")
        yield Figure(CASE, who, "lost + doubled + out of order", "", (float(run.wrong),), at_most=0)
    small, large = runs
    yield Figure(CASE, "writeback worker", "peak, large x small", "", (large.peak_mb / small.peak_mb,), at_most=FLAT)


def _run(stand: Stand, backlog: int) -> Run:
    slug = f"backlog-{backlog}"
    stand.connection(slug, "hubspot", concurrency=16)
    stand.emit(batched(slug, n, 20_000) for n in range(backlog))
    run = measure(stand.far, backlog, stand.worker, patience=SECONDS, ms=5)
    stand.drop(slug)
    return run
