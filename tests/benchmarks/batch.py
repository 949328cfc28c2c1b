"""The batch endpoint: HubSpot upserts, a hundred in a call, the vendor's limits lifted."""

from __future__ import annotations

from collections.abc import Iterator

from tests.benchmarks.consuming import rate_alone
from tests.benchmarks.figures import Figure
from tests.benchmarks.single import unclean
from tests.benchmarks.sizes import Sizes
from tests.benchmarks.stand import Stand, measure
from tests.benchmarks.work import batched
from topics import names

CASE = "batch endpoint"


def figures(stand: Stand, sizes: Sizes) -> Iterator[Figure]:
    stand.connection("batch", "hubspot", concurrency=16)
    # keys that do not repeat within what is read ahead: a key appears once per batch, and waits for its turn
    stand.emit(batched("batch", n, 20_000) for n in range(sizes.batch))
    runs, alone = [], []
    for _ in range(sizes.rounds):
        alone.append(rate_alone(stand, sizes.batch, names.DEFAULT.events_topic("batch")))
        runs.append(measure(stand.far, sizes.batch, stand.worker))
    stand.drop("batch")
    who = "writeback worker, 100 a call, 16 at once"
    yield Figure(
        CASE, "kafka-python alone, consuming", "rate", "events/s", tuple(alone), note="nothing is done with it"
    )
    yield Figure(CASE, who, "rate", "events/s", tuple(run.rate for run in runs), at_least=10_000)
    ratios = tuple(run.rate / rate for run, rate in zip(runs, alone, strict=True))
    yield Figure(CASE, who, "x kafka-python alone", "", ratios)
    yield Figure(CASE, who, "CPU", "us/event", tuple(run.cpu_us for run in runs), at_most=60)
    yield Figure(CASE, who, "the destination's CPU", "us/event", tuple(run.far_us for run in runs))
    yield Figure(CASE, who, "events per call", "", tuple(run.report.settled / run.report.requests for run in runs))
    yield Figure(CASE, who, "peak memory", "MB", tuple(run.peak_mb for run in runs))
    yield unclean(CASE, who, runs)
