"""From a script's line to the request at the destination, while nothing else is going on."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import quantiles

from tests.benchmarks.far_end import FarEnd
from tests.benchmarks.figures import Figure
from tests.benchmarks.sizes import Sizes
from tests.benchmarks.stand import Stand, stop
from tests.benchmarks.work import single
from topics import names

CASE = "idle: emit to request"
WARM = 5
"""The first calls open connections and are not counted."""
PAUSE = "0.03"
SCRIPT = """
import sys, time
import pq
events, pause = int(sys.argv[1]), float(sys.argv[2])
api = pq.connect(sys.argv[3])
for n in range(events):
    time.sleep(pause)
    body = {"n": n, "key": f"k{n % 50}", "sent": time.time()}
    api.update("record", path=f"records/k{n % 50}", body=body)
pq.flush()
"""


def figures(stand: Stand, sizes: Sizes) -> Iterator[Figure]:
    yield from _figures("Kafka", _delays(stand, sizes), 8, 30)
    with tempfile.TemporaryDirectory() as folder:
        embedded = Stand(Path(folder), "", stand.far)
        try:
            yield from _figures("embedded log, two processes", _delays(embedded, sizes), None, None)
        finally:
            embedded.close()
    with tempfile.TemporaryDirectory() as folder:
        embedded = Stand(Path(folder), "", stand.far)
        try:
            yield from _figures("embedded log, one process", _in_one_process(embedded, stand.far, sizes), 5, None)
        finally:
            embedded.close()


def _figures(log: str, delays: list[float], p50: float | None, p99: float | None) -> Iterator[Figure]:
    cuts = quantiles(delays[WARM:], n=100)
    yield Figure(CASE, log, "p50", "ms", (cuts[49] * 1_000,), at_most=p50)
    yield Figure(CASE, log, "p99", "ms", (cuts[98] * 1_000,), at_most=p99)


def _delays(stand: Stand, sizes: Sizes) -> list[float]:
    events = sizes.idle + WARM
    stand.connection("idle", "http")
    stand.far.reset(events, ms=1)
    stand.emit([single("idle", 0, 1)])
    workers = stand.worker(names.DEFAULT.worker_group)
    try:
        assert stand.far.wait_first(60), "the worker did not begin"
        stand.far.reset(events, ms=1)
        stand.script(SCRIPT, "emit", str(events), PAUSE, "idle").wait(120)
        assert stand.far.wait_done(30), "not every event arrived"
    finally:
        stop(workers)
    stand.drop("idle")
    return stand.far.report().delays


def _in_one_process(stand: Stand, far: FarEnd, sizes: Sizes) -> list[float]:
    """Worker and emitting script in one process, as ``writeback demo`` users have it in a notebook."""
    events = sizes.idle + WARM
    stand.connection("idle", "http")
    far.reset(events, ms=1)
    process = stand.stage.start(
        sys.executable, "-m", "tests.benchmarks.one_process", str(events), PAUSE, "idle", name="one-process"
    )
    try:
        assert far.wait_done(60), "not every event arrived"
    finally:
        stop([process])
    return far.report().delays
