"""Ours and the peers on the same topic: rate, CPU and memory."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from statistics import mean

from tests.benchmarks.contender import Start
from tests.benchmarks.figures import Figure
from tests.benchmarks.peer import PARALLEL_CONSUMER, PEERS, Peer, Unavailable
from tests.benchmarks.sizes import Sizes
from tests.benchmarks.stand import Run, Stand, measure
from tests.benchmarks.work import fields_of, single
from topics import names

PARTITIONS = 8
CASE = "peers: 1,000 keys, 8 partitions"
SLUG = "peers"


def figures(stand: Stand, sizes: Sizes) -> Iterator[Figure]:
    stand.connection(SLUG, "http", partitions=PARTITIONS)
    stand.emit(single(SLUG, n, sizes.keys) for n in range(sizes.single))
    theirs = None
    for peer in PEERS:
        try:
            peer.install()
            runs, beside = _peer(stand, peer, sizes)
        except (Unavailable, RuntimeError) as error:
            yield Figure(CASE, peer.name, "not measured", "", (0.0,), note=str(error)[-120:])
            continue
        yield from _figures(peer.name, runs, beside, "yes" if peer.order else "no")
        if peer is PARALLEL_CONSUMER:
            theirs = runs
    for processes in (1, 2):
        runs, beside = [], []
        for _ in range(sizes.peer_rounds):
            start = partial(stand.worker, processes=processes)
            run, pair = _between(stand, sizes.single, sizes.keys, start)
            runs.append(run)
            beside.append(pair)
        who = f"writeback worker, {processes} process{'es' * (processes > 1)}"
        yield from _figures(who, runs, beside, "yes")
        if processes == 2 and theirs is not None:
            ratio = mean(run.rate for run in runs) / mean(run.rate for run in theirs)
            memory = mean(run.peak_mb for run in runs) / mean(run.peak_mb for run in theirs)
            yield Figure(CASE, who, "rate x parallel-consumer", "", (ratio,), at_least=1.5)
            yield Figure(CASE, who, "memory x parallel-consumer", "", (memory,), at_most=0.6)
    stand.drop(SLUG)


def _peer(stand: Stand, peer: Peer, sizes: Sizes) -> tuple[list[Run], list[float]]:
    runs, beside = [], []
    events = min(sizes.single, peer.most)
    slug = SLUG if events == sizes.single else _short(stand, events, sizes)
    topic = names.DEFAULT.events_topic(slug)
    for number in range(sizes.peer_rounds):
        peer.prepare(stand, topic, (fields_of(n, sizes.keys) for n in range(events)))
        start = partial(peer.start, stand, topic, f"{peer.folder}-{events}-{number}-{time.time_ns()}")
        run, pair = _between(stand, events, sizes.keys, start)
        runs.append(run)
        beside.append(pair)
    if slug != SLUG:
        stand.drop(slug)
    return runs, beside


def _short(stand: Stand, events: int, sizes: Sizes) -> str:
    """A topic with fewer events, for a peer that is so slow."""
    slug = f"short-{events}-{time.time_ns()}"
    stand.log.ensure_topics([names.DEFAULT.events_spec(slug, PARTITIONS)])
    stand.emit(single(slug, n, sizes.keys) for n in range(events))
    return slug


def _between(stand: Stand, events: int, keys: int, start: Start) -> tuple[Run, float]:
    """A run, and the rate of the bare loop just before and after it."""
    limit = partial(stand.limit, "httpx", 5_000, keys)
    before = measure(stand.far, 5_000, limit)
    run = measure(stand.far, events, start, patience=120)
    after = measure(stand.far, 5_000, limit)
    return run, mean((before.rate, after.rate))


def _figures(who: str, runs: list[Run], beside: list[float], order: str) -> Iterator[Figure]:
    note = f"promises order per key and at least once: {order}"
    yield Figure(CASE, who, "rate", "events/s", tuple(run.rate for run in runs), note=note)
    ratios = tuple(run.rate / limit for run, limit in zip(runs, beside, strict=True))
    yield Figure(CASE, who, "x httpx loop", "", ratios)
    yield Figure(CASE, who, "CPU", "us/event", tuple(run.cpu_us for run in runs))
    yield Figure(CASE, who, "the destination's CPU", "us/event", tuple(run.far_us for run in runs))
    yield Figure(CASE, who, "most calls at once", "", tuple(float(run.report.at_once) for run in runs))
    yield Figure(CASE, who, "start to first request", "s", tuple(run.start_seconds for run in runs))
    yield Figure(CASE, who, "peak memory", "MB", tuple(run.peak_mb for run in runs))
    yield Figure(CASE, who, "out of order", "", tuple(float(run.report.disordered) for run in runs))
    yield Figure(CASE, who, "lost + doubled", "", tuple(float(run.report.lost + run.report.doubled) for run in runs))
