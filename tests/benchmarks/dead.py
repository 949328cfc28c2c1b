"""Ten connections, one of which nobody listens at: what the nine living keep of their rate, and of their latency.

A peer knows no connections. It gets one topic per destination, all in one process, as one would; a peer with a queue of
its own gets all ten destinations in that queue.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from statistics import median, quantiles

from tests.benchmarks.contender import OURS, Contender, peers
from tests.benchmarks.figures import Figure
from tests.benchmarks.lanes import Passed, pass_lanes
from tests.benchmarks.sizes import Sizes
from tests.benchmarks.stand import Stand, stop
from tests.benchmarks.work import single
from tests.ports import free_port
from topics.event.event import Event

CASE = "one dead connection of ten"
CONNECTIONS = 10
PACED_SHARE = 0.25
"""Latency is looked at while the nine get this share of what they can do; at their limit it would be the queue's."""
SLOWER = 1.1
SCRIPT = """
import sys, time
import pq
slugs, each, pace = sys.argv[1].split(","), int(sys.argv[2]), float(sys.argv[3])
apis = [pq.connect(slug) for slug in slugs]
for turn in range(each):
    if turn == 1:
        pq.flush()  # connected to everything: from here on time counts
        began = time.perf_counter() - 1 / pace
    if turn:
        time.sleep(max(0, began + turn / pace - time.perf_counter()))
    for number, (slug, api) in enumerate(zip(slugs, apis)):
        n = number * each + turn
        body = {"n": n, "key": f"{slug} {turn % 100}", "lane": slug, "sent": time.time()}
        api.update("record", path=f"records/k{turn % 100}", body=body)
pq.flush()
"""


def figures(stand: Stand, sizes: Sizes) -> Iterator[Figure]:
    ours = 0.0
    for contender in (OURS, *peers(sizes)):
        mine = contender is OURS
        slugs = [f"of-ten-{time.time_ns()}-{number}" for number in range(CONNECTIONS)]
        each = sizes.each if mine else contender.most(sizes.each * CONNECTIONS // 2) // CONNECTIONS
        without, beside = _rates(stand, contender, slugs, each, sizes.rounds if mine else 1)
        rates = tuple(passed.rate for passed in beside)
        yield Figure(CASE, contender.name, "rate of the other nine", "events/s", rates, note=beside[-1].note)
        ratios = tuple(passed.rate / free.rate for passed, free in zip(beside, without, strict=True))
        yield Figure(CASE, contender.name, "x their rate without it", "", ratios, at_least=0.95 if mine else None)
        ours = ours or median(passed.rate for passed in without)
    yield from _latency(stand, sizes, ours * PACED_SHARE)


def _rates(
    stand: Stand, contender: Contender, slugs: list[str], each: int, rounds: int
) -> tuple[list[Passed], list[Passed]]:
    """Without the dead one, and with it, in turns."""
    gone, living = slugs[0], slugs[1:]
    dead_url = f"http://127.0.0.1:{free_port()}"
    for slug in living:
        stand.connection(slug, "http", concurrency=32)
    stand.connection(gone, "http", concurrency=32, url=dead_url)
    events = [single(slug, n, each, lane=slug) for n in range(each) for slug in living]
    stand.emit(events)
    # ours has the address in the connection; a peer is told it by the event
    base = "" if contender is OURS else f"{dead_url}/"
    dead = [single(gone, n, each, base=base) for n in range(each)]
    without, beside = [], []
    for _ in range(rounds):
        stand.drop(gone)
        without.append(pass_lanes(stand, contender, contender.on(stand, events), living, each))
        stand.ensure(gone)
        stand.emit(dead)
        beside.append(pass_lanes(stand, contender, contender.on(stand, _mixed(dead, events)), living, each))
    for slug in slugs:
        stand.drop(slug)
    return without, beside


def _mixed(dead: Sequence[Event], living: Sequence[Event]) -> list[Event]:
    """As they would be emitted: of ten one is for the dead one."""
    mixed = []
    for number, event in enumerate(dead):
        mixed += [event, *living[number * (CONNECTIONS - 1) : (number + 1) * (CONNECTIONS - 1)]]
    return mixed


def _latency(stand: Stand, sizes: Sizes, rate: float) -> Iterator[Figure]:
    """From a script's line to the request, of the nine, at a steady ``rate`` of all nine together."""
    pace = rate / (CONNECTIONS - 1)
    free, beside = [], []
    for _ in range(sizes.rounds):
        slugs = [f"paced-{time.time_ns()}-{number}" for number in range(CONNECTIONS)]
        for slug in slugs[1:]:
            stand.connection(slug, "http", concurrency=32)
        stand.connection(slugs[0], "http", concurrency=32, url=f"http://127.0.0.1:{free_port()}")
        workers = stand.worker()
        try:
            delays_of(stand, slugs[1:], int(pace * sizes.paced / 3) + 1, pace)  # everything is loaded and connected
            free.append(p99(delays_of(stand, slugs[1:], int(pace * sizes.paced) + 1, pace)))
            beside.append(p99(delays_of(stand, [*slugs[1:], slugs[0]], int(pace * sizes.paced) + 1, pace)))
        finally:
            stop(workers)
        for slug in slugs:
            stand.drop(slug)
    note = f"from the script's line to the request, at {rate:,.0f} events/s, a quarter of what they can do"
    yield Figure(CASE, OURS.name, "p99 of the nine without it", "ms", tuple(free), note=note)
    yield Figure(CASE, OURS.name, "p99 of the nine beside it", "ms", tuple(beside))
    ratios = tuple(after / before for after, before in zip(beside, free, strict=True))
    yield Figure(CASE, OURS.name, "x their p99 without it", "", ratios, at_most=SLOWER)


def delays_of(stand: Stand, slugs: Sequence[str], each: int, pace: float) -> list[float]:
    """``each`` events to every one of them, of which the first nine live; the delays of those."""
    living = slugs[: CONNECTIONS - 1]
    stand.far.reset(each * len(slugs))
    name = f"paced-{time.time_ns()}"
    script = stand.script(SCRIPT, name, ",".join(slugs), str(each), str(pace))
    if script.wait(120):
        raise RuntimeError((stand.stage.folder / f"{name}.log").read_text())
    for slug in living:
        if not stand.far.wait_lane(slug, each, 30):
            raise RuntimeError(f"not all {each} events of {slug} arrived")
    return stand.far.report().delays


def p99(delays: list[float]) -> float:
    """Without the first fifth: the script, too, has to get going."""
    return quantiles(delays[len(delays) // 5 :], n=100)[98] * 1_000
