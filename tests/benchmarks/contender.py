"""Whoever works through topics: ours, and the peers that stand beside it when something goes wrong."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from tests.benchmarks.peer import FASTSTREAM, FASTSTREAM_ORDERED, PARALLEL_CONSUMER, TASKIQ, Peer, Unavailable
from tests.benchmarks.sizes import TINY, Sizes
from tests.benchmarks.stand import Process, Stand
from topics import names
from topics.event.event import Event

Start = Callable[[], list[Process]]
OURS_SECONDS = 120.0
PEER_SECONDS = 30.0
"""What has not come after so long is not delivered: some of them try again for ever."""


@dataclass(frozen=True)
class Contender:
    """``peer``: None for ours. ``seconds``: the time it gets for a run, starting included."""

    name: str
    peer: Peer | None = None

    @property
    def seconds(self) -> float:
        return OURS_SECONDS if self.peer is None else PEER_SECONDS

    def most(self, events: int) -> int:
        """How many it gets: fewer when it is so slow."""
        return events if self.peer is None else min(events, self.peer.most)

    def on(self, stand: Stand, events: Sequence[Event]) -> Start:
        """How to start it on the topics in which these events are; a peer with a queue of its own has it filled now."""
        if self.peer is None:
            return stand.worker
        mark = time.time_ns()
        topics = ",".join(
            names.DEFAULT.events_topic(slug) for slug in dict.fromkeys(event.connection for event in events)
        )
        if self.peer.enqueue:
            topics = f"queue-{mark}"
            self.peer.prepare(stand, topics, [event.fields or {} for event in events])
        return partial(self.peer.start, stand, topics, f"{self.peer.folder}-{mark}")


OURS = Contender("writeback worker")


def peers(sizes: Sizes) -> Iterator[Contender]:
    """Those that can be had here. None in the tiny size: nothing is to be downloaded for it."""
    for peer in (PARALLEL_CONSUMER, FASTSTREAM, FASTSTREAM_ORDERED, TASKIQ) if sizes != TINY else ():
        try:
            peer.install()
        except Unavailable:
            continue
        yield Contender(peer.name, peer)
