"""Ours and the peers on the same topic: rate, CPU and memory, and what a kill -9 half-way leaves."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from statistics import mean

from tests.benchmarks.figures import Figure
from tests.benchmarks.peer import PARALLEL_CONSUMER, PEERS, Peer, Unavailable
from tests.benchmarks.processes import tree
from tests.benchmarks.sizes import Sizes
from tests.benchmarks.stand import Process, Run, Stand, measure, stop
from tests.benchmarks.work import single
from topics import names
from topics.event import Operation

PARTITIONS = 8
CASE = "peers: 1,000 keys, 8 partitions"
KILLED = "kill -9 half-way"
SLUG = "peers"
RESUME_SECONDS = 40.0
AT_ONCE = 256

Start = Callable[[], list[Process]]


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
    topic = names.events_topic(slug)
    for number in range(sizes.peer_rounds):
        peer.prepare(stand, topic, events, sizes.keys)
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
    stand.log.ensure_topics([names.events_spec(slug, PARTITIONS)])
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
    yield Figure(CASE, who, "peak memory", "MB", tuple(run.peak_mb for run in runs))
    yield Figure(CASE, who, "out of order", "", tuple(float(run.report.disordered) for run in runs))
    yield Figure(CASE, who, "lost + doubled", "", tuple(float(run.report.lost + run.report.doubled) for run in runs))


def killed(stand: Stand, sizes: Sizes) -> Iterator[Figure]:
    events = max(sizes.single // 5, 100)
    yield from _ours_killed(stand, events, sizes)
    slug = "killed"
    stand.connection(slug, "http", partitions=PARTITIONS)
    stand.emit(single(slug, n, sizes.keys) for n in range(events))
    for peer in PEERS:
        count = min(events, peer.most)
        topic = names.events_topic(slug if count == events else _short(stand, count, sizes))
        try:
            peer.install()
            peer.prepare(stand, topic, count, sizes.keys)
            start = partial(peer.start, stand, topic, f"killed-{peer.folder}-{time.time_ns()}")
            yield from _killed(stand, count, peer.name, start)
        except (Unavailable, RuntimeError) as error:
            yield Figure(KILLED, peer.name, "not measured", "", (0.0,), note=str(error)[-120:])
    stand.drop(slug)


def _ours_killed(stand: Stand, events: int, sizes: Sizes) -> Iterator[Figure]:
    """Twice: calls that may be repeated, and calls that may not, at a vendor that cannot be asked."""
    for operation, about, bound in (
        (Operation.UPDATE, "idempotent calls: what no commit knows is repeated", None),
        (Operation.ADD, "calls that count, nobody to ask, the policy is to try again", AT_ONCE),
    ):
        slug = f"killed-{operation}"
        stand.connection(slug, "http", partitions=PARTITIONS, on_unknown={"add": "retry"})
        stand.emit(single(slug, n, sizes.keys, operation=operation) for n in range(events))
        start = partial(stand.worker, f"{slug}-{time.time_ns()}")
        yield from _killed(stand, events, f"writeback worker, {operation}", start, must=True, bound=bound, note=about)
        stand.drop(slug)


def _killed(
    stand: Stand, events: int, who: str, start: Start, *, must: bool = False, bound: float | None = None, note: str = ""
) -> Iterator[Figure]:
    far = stand.far
    far.reset(events)
    processes = start()
    far.wait_settled(events // 2, 60)
    for pid in tree(process.pid for process in processes):
        os.kill(pid, signal.SIGKILL)
    stop(processes)
    again = start()
    began, before = time.monotonic(), far.report().requests
    try:
        far.wait_requests(before + 1, RESUME_SECONDS)
        resumed = time.monotonic() - began
        far.wait_done(RESUME_SECONDS)
        time.sleep(1)
    finally:
        stop(again)
    report = far.report()
    none = 0 if must else None
    held = f"after {RESUME_SECONDS:.0f} s" if report.lost else ""
    yield Figure(KILLED, who, "not delivered", f"of {events:,}", (float(report.lost),), at_most=none, note=held)
    yield Figure(KILLED, who, "doubled", "", (float(report.doubled),), at_most=bound, note=note)
    yield Figure(KILLED, who, "out of order", "", (float(report.disordered),), at_most=none)
    later = "or later: nothing came in that time" if resumed >= RESUME_SECONDS else ""
    yield Figure(KILLED, who, "going again after", "s", (resumed,), note=later)
