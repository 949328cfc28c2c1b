"""Every second event is one key's, which can only have one call after the other; the other keys should not feel it."""

from __future__ import annotations

import time
from collections.abc import Iterator

from tests.benchmarks.contender import OURS, Contender, peers
from tests.benchmarks.figures import Figure
from tests.benchmarks.lanes import Passed, pass_lanes
from tests.benchmarks.sizes import Sizes
from tests.benchmarks.stand import Stand
from tests.benchmarks.work import single

CASE = "one key has half of the events"
PARTITIONS = 8


def figures(stand: Stand, sizes: Sizes) -> Iterator[Figure]:
    for contender in (OURS, *peers(sizes)):
        alone, beside = [], []
        count = contender.most(sizes.hot)
        for _ in range(sizes.rounds if contender is OURS else 1):
            alone.append(_others(stand, contender, sizes, range(0, 2 * count, 2)))
            beside.append(_others(stand, contender, sizes, range(2 * count)))
        rates = tuple(passed.rate for passed in beside)
        yield Figure(CASE, contender.name, "rate of the other keys", "events/s", rates, note=beside[-1].note)
        ratios = tuple(passed.rate / without.rate for passed, without in zip(beside, alone, strict=True))
        bound = 0.95 if contender is OURS else None
        yield Figure(
            CASE, contender.name, "x their rate without it", "", ratios, at_least=bound, note=_without(alone[-1])
        )


def _without(alone: Passed) -> str:
    return f"without it {alone.note}" if alone.note else ""


def _others(stand: Stand, contender: Contender, sizes: Sizes, numbers: range) -> Passed:
    slug = f"hot-{time.time_ns()}"
    stand.connection(slug, "http", partitions=PARTITIONS)
    events = [single(slug, n, sizes.keys, hot=True, lane="hot" if n % 2 else "other") for n in numbers]
    stand.emit(events)
    passed = pass_lanes(stand, contender, contender.on(stand, events), ["other"], numbers.stop // 2)
    stand.drop(slug)
    return passed
