"""What it costs to stand by with a hundred connections, to none of which anything is to be sent."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.figures import Figure
from tests.benchmarks.processes import cpu_seconds
from tests.benchmarks.sizes import Sizes
from tests.benchmarks.stand import Stand, stop
from topics import names
from worker.demo.stage import WRITEBACK

CASE = "nothing to do"


def figures(stand: Stand, sizes: Sizes) -> Iterator[Figure]:
    slugs = [f"quiet-{number}" for number in range(sizes.connections)]
    for slug in slugs:
        stand.connection(slug, "http")
    for command in ("worker", "up"):
        yield _figure(f"{command}, Kafka", sizes, _shares(stand, command, sizes))
    for slug in slugs:
        stand.drop(slug)
    with tempfile.TemporaryDirectory() as folder:
        embedded = Stand(Path(folder), "", stand.far)
        try:
            for slug in slugs:
                embedded.connection(slug, "http")
            yield _figure("up, embedded log", sizes, _shares(embedded, "up", sizes))
        finally:
            embedded.close()


def _figure(who: str, sizes: Sizes, shares: tuple[float, ...]) -> Figure:
    return Figure(CASE, who, f"CPU with {sizes.connections} connections", "% of a core", shares, at_most=1)


def _shares(stand: Stand, command: str, sizes: Sizes) -> tuple[float, ...]:
    group = {"WRITEBACK_GROUP": names.DEFAULT.worker_group, "WRITEBACK_LOG_LEVEL": "warning"}
    process = stand.stage.start(*WRITEBACK, command, name=f"quiet-{command}", **group)
    try:
        time.sleep(sizes.settling)
        return tuple(_share(process.pid, sizes.stood_by) for _ in range(sizes.rounds))
    finally:
        stop([process])


def _share(pid: int, seconds: float) -> float:
    began, before = time.monotonic(), cpu_seconds([pid])
    time.sleep(seconds)
    return 100 * (cpu_seconds([pid]) - before) / (time.monotonic() - began)
