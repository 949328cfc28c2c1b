"""kill -9 in the middle: what was lost, done twice, and when it went on. Ours in three ways, and every peer."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from tests.benchmarks.contender import Start
from tests.benchmarks.figures import Figure
from tests.benchmarks.peer import PEERS, Peer, Unavailable
from tests.benchmarks.processes import tree
from tests.benchmarks.sizes import TINY, Sizes
from tests.benchmarks.stand import Stand, stop
from tests.benchmarks.work import batched, single
from topics import names
from topics.event.event import Event, Operation

HALF_WAY = "kill -9 half-way"
STEADY = "kill -9 in steady load"
PARTITIONS = 8
RESUME_SECONDS = 40.0
AT_ONCE = 256


@dataclass(frozen=True)
class Way:
    """One way of ours to send. ``doubles``: as many as there may be; None where repeating changes nothing."""

    name: str
    about: str
    connector: str
    make: Callable[[str, int], Event]
    doubles: int | None
    script: dict[str, Any]


ASKED = Way("add, the vendor can be asked", "batches of 100, 4 at once, 200 ms", "hubspot",
            lambda slug, n: batched(slug, n, 1_000_000, operation=Operation.ADD), 0, {"ms": 200})  # fmt: skip
WAYS = (
    Way("update", "repeating changes nothing: what no commit knows is repeated", "http",
        lambda slug, n: single(slug, n, 1_000), None, {}),
    ASKED,
    Way("add, nobody to ask", "the policy is to try again: at most what was in flight", "http",
        lambda slug, n: single(slug, n, 1_000, operation=Operation.ADD), AT_ONCE, {}),
)  # fmt: skip


def figures(stand: Stand, sizes: Sizes) -> Iterator[Figure]:
    """The first thousand of 2,000 take a quarter of a second: ours once more, with more, when it is in full swing."""
    events = max(sizes.single // 5, 100)
    if sizes == TINY:
        yield from _ours(stand, ASKED, HALF_WAY, events)
        return
    for way in WAYS:
        yield from _ours(stand, way, HALF_WAY, events)
    for peer in PEERS:
        yield from _peer(stand, peer, HALF_WAY, min(events, peer.most), sizes)
    for way in WAYS:
        yield from _ours(stand, way, STEADY, sizes.single)


def _ours(stand: Stand, way: Way, case: str, events: int) -> Iterator[Figure]:
    mark = time.time_ns()
    slug = f"killed-{mark}"
    at_once, partitions = (4, 1) if way.connector == "hubspot" else (AT_ONCE, PARTITIONS)
    stand.connection(slug, way.connector, partitions=partitions, concurrency=at_once, on_unknown={"add": "retry"})
    stand.emit(way.make(slug, n) for n in range(events))
    killed = Killed(stand, events, case, f"writeback worker, {way.name}", partial(stand.worker, f"{slug}-group"))
    yield from killed.figures(must=True, bound=way.doubles, note=way.about, **way.script)
    stand.drop(slug)


def _peer(stand: Stand, peer: Peer, case: str, events: int, sizes: Sizes) -> Iterator[Figure]:
    mark = time.time_ns()
    slug = f"killed-{mark}"
    try:
        peer.install()
        work = [single(slug, n, sizes.keys) for n in range(events)]
        topic = _topic(stand, peer, slug, work)
        start = partial(peer.start, stand, topic, f"{slug}-group")
        yield from Killed(stand, events, case, peer.name, start).figures()
        stand.drop(slug)
    except (Unavailable, RuntimeError) as error:
        yield Figure(case, peer.name, "not measured", "", (0.0,), note=str(error)[-120:])


def _topic(stand: Stand, peer: Peer, slug: str, work: Sequence[Event]) -> str:
    """With the work in it: ours, or the peer's own queue."""
    stand.ensure(slug, PARTITIONS)
    stand.emit(work)
    topic = names.DEFAULT.events_topic(slug)
    peer.prepare(stand, topic, [event.fields or {} for event in work])
    return topic


@dataclass(frozen=True)
class Killed:
    """A run that is killed when half of its events have arrived, and started again."""

    stand: Stand
    events: int
    case: str
    who: str
    start: Start

    def figures(
        self, *, must: bool = False, bound: float | None = None, note: str = "", **script: Any
    ) -> Iterator[Figure]:
        resumed = self._run(script)
        report = self.stand.far.report()
        none = 0 if must else None
        held = f"after {RESUME_SECONDS:.0f} s" if report.lost else ""
        of = f"of {self.events:,}"
        yield Figure(self.case, self.who, "not delivered", of, (float(report.lost),), at_most=none, note=held)
        yield Figure(self.case, self.who, "doubled", of, (float(report.doubled),), at_most=bound, note=note)
        yield Figure(self.case, self.who, "out of order", "", (float(report.disordered),), at_most=none)
        later = "or later: nothing came in that time" if resumed >= RESUME_SECONDS else ""
        yield Figure(self.case, self.who, "going again after", "s", (resumed,), note=later)

    def _run(self, script: dict[str, Any]) -> float:
        """The seconds from the new start to the first request."""
        far = self.stand.far
        far.reset(self.events, **script)
        processes = self.start()
        far.wait_settled(self.events // 2, 60)
        for pid in tree(process.pid for process in processes):
            os.kill(pid, signal.SIGKILL)
        stop(processes)
        again = self.start()
        began, before = time.monotonic(), far.report().requests
        try:
            far.wait_requests(before + 1, RESUME_SECONDS)
            resumed = time.monotonic() - began
            far.wait_done(RESUME_SECONDS)
            time.sleep(1)
        finally:
            stop(again)
        return resumed
