"""Single calls: 10,000 events over 1,000 keys to a 50 ms API, 256 at once; against the bare loops run beside it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from statistics import mean

from tests.benchmarks.figures import Figure
from tests.benchmarks.sizes import Sizes
from tests.benchmarks.stand import Run, Stand, measure
from tests.benchmarks.work import single
from topics.event import Operation

CASE = "single calls"
NOTE = "no order, no log, no retries"


def figures(stand: Stand, sizes: Sizes) -> Iterator[Figure]:
    ours: dict[str, list[Run]] = {"update": [], "add": []}
    limits: dict[str, list[Run]] = {"httpx": [], "transport": []}
    for operation in (Operation.UPDATE, Operation.ADD):
        slug = f"single-{operation}"
        stand.connection(slug, "http")
        stand.emit(single(slug, n, sizes.keys, operation=operation) for n in range(sizes.single))
        _limits(stand, sizes, limits)
        for _ in range(sizes.rounds):
            ours[operation.value].append(measure(stand.far, sizes.single, stand.worker))
            _limits(stand, sizes, limits)
        stand.drop(slug)
    yield from _figures(ours, limits, sizes.rounds)


def _limits(stand: Stand, sizes: Sizes, limits: dict[str, list[Run]]) -> None:
    for kind, runs in limits.items():
        start = partial(stand.limit, kind, sizes.single, sizes.keys)
        runs.append(measure(stand.far, sizes.single, start))


def _figures(ours: dict[str, list[Run]], limits: dict[str, list[Run]], rounds: int) -> Iterator[Figure]:
    for kind, who in (("httpx", "bare loop, httpx + aiohttp transport"), ("transport", "bare loop, our transport")):
        yield Figure(CASE, who, "rate", "events/s", tuple(run.rate for run in limits[kind]), note=NOTE)
        yield Figure(CASE, who, "CPU", "us/event", tuple(run.cpu_us for run in limits[kind]))
    for index, (name, runs) in enumerate(ours.items()):
        who = f"writeback worker, {name}"
        yield Figure(CASE, who, "rate", "events/s", tuple(run.rate for run in runs))
        beside = {kind: _around(limits[kind], index * (rounds + 1), rounds) for kind in limits}
        least = 1.0 if name == "update" else None
        yield Figure(CASE, who, "x httpx loop", "", _ratios(runs, beside["httpx"]), at_least=least and 1.2)
        yield Figure(
            CASE, who, "x loop over our transport", "", _ratios(runs, beside["transport"]), at_least=least and 0.9
        )
        yield Figure(CASE, who, "CPU", "us/event", tuple(run.cpu_us for run in runs))
        shares = tuple(
            run.cpu_us / mean(each.cpu_us for each in pair) for run, pair in zip(runs, beside["httpx"], strict=True)
        )
        yield Figure(CASE, who, "CPU x httpx loop", "", shares, at_most=least)
        yield Figure(CASE, who, "start to first request", "s", tuple(run.start_seconds for run in runs))
        yield Figure(CASE, who, "peak memory", "MB", tuple(run.peak_mb for run in runs))
        yield unclean(CASE, who, runs)


def _around(runs: list[Run], start: int, rounds: int) -> list[tuple[Run, Run]]:
    return [(runs[start + index], runs[start + index + 1]) for index in range(rounds)]


def _ratios(runs: list[Run], beside: list[tuple[Run, Run]]) -> tuple[float, ...]:
    return tuple(run.rate / mean(each.rate for each in pair) for run, pair in zip(runs, beside, strict=True))


def unclean(case: str, who: str, runs: list[Run]) -> Figure:
    wrong = tuple(float(run.wrong) for run in runs)
    return Figure(case, who, "lost + doubled + out of order", "", wrong, at_most=0)
