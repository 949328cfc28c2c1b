"""One process and two: over two connections, and over the partitions of one. Single calls, and the batch endpoint.

The broker and the destination share the two cores with the workers: a rate cannot double here. What an event costs
should not grow.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.benchmarks.consuming import rate_alone
from tests.benchmarks.figures import Figure
from tests.benchmarks.ready import measure_ready
from tests.benchmarks.single import unclean
from tests.benchmarks.sizes import Sizes
from tests.benchmarks.stand import Run, Stand
from tests.benchmarks.work import batched, single
from topics import names
from topics.event.event import Event

GROWTH = 1.1
NOTE = "broker and destination share the two cores"
BATCH_KEYS = 20_000
"""So many that none comes twice within what is read ahead: a key appears once per batch, and waits for its turn."""


@dataclass(frozen=True)
class Layout:
    """How the events are spread."""

    name: str
    connections: int
    partitions: int


LAYOUTS = (Layout("two connections", 2, 1), Layout("8 partitions of one", 1, 8))


Make = Callable[[str, int], Event]
"""The event of a number, for a connection."""


def singles(stand: Stand, sizes: Sizes) -> Iterator[Figure]:
    def make(slug: str, n: int) -> Event:
        return single(slug, n, sizes.keys)

    for layout in LAYOUTS:
        runs, _ = _runs(stand, "http", layout, make, events=sizes.single, pairs=sizes.pairs)
        yield from _figures(f"single calls over {layout.name}", runs)


def batches(stand: Stand, sizes: Sizes) -> Iterator[Figure]:
    def make(slug: str, n: int) -> Event:
        return batched(slug, n, BATCH_KEYS)

    for layout in LAYOUTS:
        case = f"batch endpoint over {layout.name}"
        runs, alone = _runs(stand, "hubspot", layout, make, events=sizes.batch // 2, pairs=sizes.pairs)
        yield from _figures(case, runs, rate=20_000, cpu_us=60)
        yield Figure(case, "kafka-python alone, consuming", "rate", "events/s", tuple(alone))
        ratios = tuple(run.rate / rate for run, rate in zip(runs[2], alone, strict=True))
        yield Figure(case, "writeback worker, 2 processes", "x kafka-python alone", "", ratios, at_least=0.5)


def _runs(
    stand: Stand, connector: str, layout: Layout, make: Make, *, events: int, pairs: int
) -> tuple[dict[int, list[Run]], list[float]]:
    """By the number of processes, in turns, so that a machine's drift is everybody's; and kafka-python's rates."""
    runs: dict[int, list[Run]] = {1: [], 2: []}
    alone = []
    for _ in range(pairs):
        for processes, of_it in runs.items():
            slugs = _connect(stand, connector, layout)

            def made(n: int, slugs: list[str] = slugs) -> Event:
                return make(slugs[n % len(slugs)], n)

            of_it.append(measure_ready(stand, made, events, processes))
            if connector == "hubspot" and processes == 2:
                alone.append(rate_alone(stand, events, *(names.DEFAULT.events_topic(slug) for slug in slugs)))
            for slug in slugs:
                stand.drop(slug)
    return runs, alone


def _connect(stand: Stand, connector: str, layout: Layout) -> list[str]:
    """New ones for each run, whose topics are empty; so many calls at once for all of them together."""
    slugs = [f"scale-{time.time_ns()}-{number}" for number in range(layout.connections)]
    at_once = 16 if connector == "hubspot" else 256
    for slug in slugs:
        stand.connection(slug, connector, partitions=layout.partitions, concurrency=at_once // len(slugs))
    return slugs


def _figures(
    case: str, runs: dict[int, list[Run]], *, rate: float | None = None, cpu_us: float | None = None
) -> Iterator[Figure]:
    for processes, of_it in runs.items():
        who = f"writeback worker, {processes} process{'es' * (processes > 1)}"
        both = processes == 2
        rates = tuple(run.rate for run in of_it)
        yield Figure(case, who, "rate", "events/s", rates, at_least=rate if both else None, note=NOTE * both)
        costs = tuple(run.cpu_us for run in of_it)
        yield Figure(case, who, "CPU", "us/event", costs, at_most=cpu_us)
        yield Figure(case, who, "the destination's CPU", "us/event", tuple(run.far_us for run in of_it))
        yield Figure(case, who, "most calls at once", "", tuple(float(run.report.at_once) for run in of_it))
        yield Figure(case, who, "peak memory", "MB", tuple(run.peak_mb for run in of_it))
        yield unclean(case, who, of_it)
    pairs = list(zip(runs[2], runs[1], strict=True))
    # the kernel counts in hundredths of a second: a tiny run may have none
    growths = tuple(two.cpu_us / (one.cpu_us or two.cpu_us or 1.0) for two, one in pairs)
    who = "writeback worker, 2 processes x 1"
    yield Figure(case, who, "rate", "", tuple(two.rate / one.rate for two, one in pairs), note=NOTE)
    yield Figure(case, who, "CPU per event", "", growths, at_most=GROWTH)
