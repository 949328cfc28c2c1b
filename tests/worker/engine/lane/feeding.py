"""Feeds a lane, and takes from it until it gives nothing."""

from __future__ import annotations

import math
from dataclasses import replace

from connectors.contract import Function
from tests.worker.samples import UPSERT, Feed
from topics.event.event import Operation
from worker.engine.lane.assignment import Batch
from worker.engine.lane.lane import Lane
from worker.engine.progress.offsets import Progress

BATCHED = replace(UPSERT, batch_max=10)
DEAL = Function("deal", Operation.UPSERT, batch_max=10, idempotent=True)


def offsets(batch: Batch | None) -> list[int]:
    assert batch is not None
    return [delivery.offset for delivery in batch.deliveries]


def drain(lane: Lane, slots: float = math.inf) -> list[list[int]]:
    taken = []
    while (batch := lane.take(slots)) is not None:
        taken.append(offsets(batch))
    return taken


def finish(lane: Lane, batch: Batch | None, now: float = 0.0) -> None:
    assert batch is not None
    lane.returned(batch, now)
    for delivery in batch.deliveries:
        lane.finish(delivery, now)


def commit(lane: Lane, feed: Feed) -> bool:
    """A round of the committer."""
    to = feed.assignment
    to.begin_round()
    lane.window.announce([to])
    to.confirmed(to.round)
    return lane.committed(to)


def announced(feed: Feed) -> list[int]:
    """Offsets that the next owner would suspect, if the worker died behind its next commit."""
    heir = Progress(feed.assignment.progress.snapshot())
    return [offset for offset in range(heir.start, feed.assignment.progress.top) if heir.suspected(offset)]


def window(lane: Lane, calls: int) -> None:
    lane.window.calls = lane.window.ahead = calls
