"""What order per key leaves possible: as many calls at once as there are keys."""

from __future__ import annotations

from collections.abc import Iterator

from tests.benchmarks.contender import OURS, peers
from tests.benchmarks.figures import Figure
from tests.benchmarks.peer import PARALLEL_CONSUMER
from tests.benchmarks.sizes import Sizes
from tests.benchmarks.stand import Run, Stand, measure
from tests.benchmarks.work import single

AT_ONCE = 256
SECONDS = 0.05


def figures(stand: Stand, sizes: Sizes) -> Iterator[Figure]:
    keyed = [OURS, *(peer for peer in peers(sizes) if peer.peer is PARALLEL_CONSUMER)]
    for count in (1, 10, 1_000, 100_000):
        slug = f"keys-{count}"
        events = [single(slug, n, count) for n in range(min(sizes.single, count * 60))]
        stand.connection(slug, "http")
        stand.emit(events)
        case = f"{count:,} key{'s' * (count > 1)}"
        for contender in keyed:
            run = measure(stand.far, len(events), contender.on(stand, events))
            yield from _of_possible(case, contender.name, run, min(count, AT_ONCE) / SECONDS)
        stand.drop(slug)


def _of_possible(case: str, who: str, run: Run, possible: float) -> Iterator[Figure]:
    note = "at most as many calls at once as keys, and 256"
    yield Figure(case, who, "rate", "events/s", (run.rate,))
    yield Figure(case, who, "of what 50 ms a call allow", "", (run.rate / possible,), note=note)
    yield Figure(case, who, "out of order", "", (float(run.report.disordered),))
