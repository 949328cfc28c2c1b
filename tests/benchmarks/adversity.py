"""What must not slow down the others: few keys, a hot key, a dead connection of ten, poison, a vendor that says 429."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from statistics import mean

from tests.benchmarks.figures import Figure
from tests.benchmarks.peer import PARALLEL_CONSUMER, Unavailable
from tests.benchmarks.sizes import TINY, Sizes
from tests.benchmarks.stand import Run, Stand, measure, stop
from tests.benchmarks.work import single
from tests.kafka_broker import free_port
from topics import names

OURS = "writeback worker"
AT_ONCE = 256
SECONDS = 0.05
CONNECTIONS = 10


def keys(stand: Stand, sizes: Sizes) -> Iterator[Figure]:
    """What order per key leaves possible: as many calls at once as there are keys."""
    for count in (1, 10, 1_000, 100_000):
        events = min(sizes.single, count * 60)
        slug = f"keys-{count}"
        stand.connection(slug, "http")
        stand.emit(single(slug, n, count) for n in range(events))
        case = f"{count:,} key{'s' * (count > 1)}"
        possible = min(count, AT_ONCE) / SECONDS
        yield from _of_possible(case, OURS, measure(stand.far, events, stand.worker), possible)
        if sizes != TINY:
            try:
                PARALLEL_CONSUMER.install()
            except Unavailable:
                continue
            start = partial(PARALLEL_CONSUMER.start, stand, names.events_topic(slug), f"{slug}-{time.time_ns()}")
            yield from _of_possible(case, PARALLEL_CONSUMER.name, measure(stand.far, events, start), possible)
        stand.drop(slug)


def _of_possible(case: str, who: str, run: Run, possible: float) -> Iterator[Figure]:
    note = "at most as many calls at once as keys, and 256"
    yield Figure(case, who, "rate", "events/s", (run.rate,))
    yield Figure(case, who, "of what 50 ms a call allow", "", (run.rate / possible,), note=note)
    yield Figure(case, who, "out of order", "", (float(run.report.disordered),))


def hot(stand: Stand, sizes: Sizes) -> Iterator[Figure]:
    """Every second event is one key's, which can only have one call after the other."""
    alone, beside = [], []
    for number in range(sizes.rounds):
        alone.append(_others(stand, f"alone-{number}", sizes, range(0, 2 * sizes.hot, 2)))
        beside.append(_others(stand, f"hot-{number}", sizes, range(2 * sizes.hot)))
    case = "one key has half of the events"
    yield Figure(case, OURS, "rate of the other keys", "events/s", tuple(beside))
    ratios = tuple(with_hot / without for with_hot, without in zip(beside, alone, strict=True))
    yield Figure(case, OURS, "x their rate without it", "", ratios, at_least=0.95)


def _others(stand: Stand, slug: str, sizes: Sizes, numbers: range) -> float:
    stand.connection(slug, "http")
    stand.emit(single(slug, n, sizes.keys, hot=True, lane="hot" if n % 2 else "other") for n in numbers)
    stand.far.reset(2 * sizes.hot)
    workers = stand.worker()
    try:
        assert stand.far.wait_lane("other", sizes.hot, 120), "the other keys did not get through"
    finally:
        stop(workers)
    stand.drop(slug)
    return _rate(stand.far.report().times["other"])


def dead(stand: Stand, sizes: Sizes) -> Iterator[Figure]:
    """Ten connections, one of which nobody listens at."""
    slugs = [f"of-ten-{number}" for number in range(CONNECTIONS)]
    living, gone = slugs[1:], slugs[0]
    for slug in living:
        stand.connection(slug, "http", concurrency=32)
    stand.emit(single(slug, n, sizes.keys, lane=slug) for n in range(sizes.each) for slug in living)
    without = [_nine(stand, sizes, living) for _ in range(sizes.rounds)]
    stand.connection(gone, "http", concurrency=32, url=f"http://127.0.0.1:{free_port()}")
    stand.emit(single(gone, n, sizes.keys) for n in range(sizes.each))
    beside = [_nine(stand, sizes, living) for _ in range(sizes.rounds)]
    for slug in slugs:
        stand.drop(slug)
    case = "one dead connection of ten"
    yield Figure(case, OURS, "rate of the other nine", "events/s", tuple(beside))
    yield Figure(case, OURS, "x their rate without it", "", (mean(beside) / mean(without),), at_least=0.95)


def _nine(stand: Stand, sizes: Sizes, living: list[str]) -> float:
    stand.far.reset(sizes.each * len(living))
    workers = stand.worker()
    try:
        for slug in living:
            assert stand.far.wait_lane(slug, sizes.each, 120), f"{slug} did not get through"
    finally:
        stop(workers)
    return _rate(sorted(moment for times in stand.far.report().times.values() for moment in times))


def _rate(times: list[float]) -> float:
    return len(times) / (times[-1] - times[0])


def refusals(stand: Stand, sizes: Sizes) -> Iterator[Figure]:
    """One event of a hundred is never accepted; one request of ten is answered 429."""
    slug = "refusals"
    stand.connection(slug, "http")
    stand.emit(single(slug, n, sizes.keys) for n in range(sizes.hot))
    clean = measure(stand.far, sizes.hot, stand.worker)
    poisoned = measure(stand.far, sizes.hot, stand.worker, poison=100)
    yield Figure("1 % poison", OURS, "rate", "events/s", (poisoned.rate,))
    yield Figure("1 % poison", OURS, "x its rate without it", "", (poisoned.rate / clean.rate,))
    again = poisoned.report.refusals - poisoned.report.refused
    yield Figure("1 % poison", OURS, "refused events tried again", "", (float(again),), at_most=0)
    yield Figure("1 % poison", OURS, "lost + doubled + out of order", "", (float(poisoned.wrong),), at_most=0)
    throttled = measure(stand.far, sizes.hot, stand.worker, throttle=10)
    note = "each 429 asks for 0.1 s of silence, whatever the rate"
    yield Figure("10 % answered 429", OURS, "rate", "events/s", (throttled.rate,), note=note)
    yield Figure("10 % answered 429", OURS, "lost + doubled + out of order", "", (float(throttled.wrong),), at_most=0)
    stand.drop(slug)
