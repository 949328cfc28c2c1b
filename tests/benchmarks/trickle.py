"""A steady trickle over nine connections: what an event costs when it comes alone, and how long it is on its way."""

from __future__ import annotations

import time
from collections.abc import Iterator

from tests.benchmarks.dead import delays_of, p99
from tests.benchmarks.figures import Figure
from tests.benchmarks.processes import cpu_seconds
from tests.benchmarks.sizes import Sizes
from tests.benchmarks.stand import Stand, stop
from topics import names

CASE = "a steady trickle"
CONNECTIONS = 9
RATE = 600.0


def figures(stand: Stand, sizes: Sizes) -> Iterator[Figure]:
    pace = RATE / CONNECTIONS
    each = int(pace * sizes.trickle) + 1
    slugs = [f"trickle-{time.time_ns()}-{number}" for number in range(CONNECTIONS)]
    for slug in slugs:
        stand.connection(slug, "http", concurrency=32)
    workers = stand.worker(names.DEFAULT.worker_group)
    pids = [worker.pid for worker in workers]
    costs, late = [], []
    try:
        delays_of(stand, slugs, int(pace) + 1, pace)  # everything is loaded and connected
        for _ in range(sizes.rounds):
            before = cpu_seconds(pids)
            delays = delays_of(stand, slugs, each, pace)
            costs.append((cpu_seconds(pids) - before) * 1e6 / (each * CONNECTIONS))
            late.append(p99(delays))
    finally:
        stop(workers)
    for slug in slugs:
        stand.drop(slug)
    who = "writeback worker, 9 connections, 600 events/s"
    note = "the start of the script that emits included, when nothing comes"
    yield Figure(CASE, who, "CPU", "us/event", tuple(costs), at_most=250, note=note)
    yield Figure(CASE, who, "p99, from the script's line to the request", "ms", tuple(late), at_most=30)
