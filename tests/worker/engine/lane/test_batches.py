"""Which events go out together, and how a batch that was refused as a whole is halved."""

from __future__ import annotations

import math
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tests.worker.engine.lane.feeding import BATCHED, DEAL, drain, finish, offsets
from tests.worker.samples import UPSERT, Feed, assignment
from topics.log import Commit
from worker.engine.lane.lane import Lane


def test_what_is_ready_goes_in_one_call() -> None:
    """Natural batching: no waiting for a batch to fill, and never more than the maximum."""
    lane = Lane()
    feed = Feed(lane)
    for number in range(23):
        feed.put(f"k{number}", BATCHED)

    assert [len(taken) for taken in drain(lane)] == [10, 10, 3]


def test_a_single_event_goes_alone_at_once() -> None:
    """A batch endpoint is no reason to wait."""
    lane = Lane()
    Feed(lane).put("a", BATCHED)

    assert drain(lane) == [[0]]


def test_a_batch_holds_a_key_once() -> None:
    """Two changes of one record never share a call: the vendor could apply them in any order."""
    lane = Lane()
    feed = Feed(lane)
    for key in ("a", "a", "b", "b", "c"):
        feed.put(key, BATCHED)

    first = lane.take()
    assert offsets(first) == [0, 2, 4]
    finish(lane, first)

    assert offsets(lane.take()) == [1, 3]


def test_functions_take_turns() -> None:
    """A thousand contacts do not keep the deals waiting."""
    lane = Lane()
    feed = Feed(lane)
    for number in range(30):
        feed.put(f"c{number}", BATCHED)
    for number in range(12):
        feed.put(f"d{number}", DEAL)

    objects = []
    while (batch := lane.take()) is not None:
        objects.append(batch.function.object)

    assert objects == ["contact", "deal", "contact", "deal", "contact"]


def test_partitions_take_turns() -> None:
    """A batch is of one partition, so that it can be fenced; neither starves."""
    lane = Lane()
    feeds = [Feed(lane, assignment(number=number)) for number in (0, 1)]
    for feed in feeds:
        for number in range(20):
            feed.put(f"k{number}", BATCHED)

    numbers = []
    while (batch := lane.take()) is not None:
        numbers.append(batch.assignment.partition.number)

    assert numbers == [0, 1, 0, 1]


@given(st.integers(2, 200), st.data())
def test_one_poison_record_costs_few_calls(size: int, data: st.DataObject) -> None:
    """A batch that is refused for one record is halved until that one is alone: at most 2·log2(n) extra calls."""
    poison = data.draw(st.integers(0, size - 1))
    lane = Lane()
    feed = Feed(lane)
    function = replace(UPSERT, batch_max=size)
    for number in range(size):
        feed.put(f"k{number}", function)

    calls, alone = 0, []
    while (batch := lane.take()) is not None:
        calls += 1
        lane.returned(batch, 0.0)
        refused = poison in offsets(batch)
        if refused and len(batch.deliveries) > 1:
            lane.bisect(batch)
            continue
        if refused:
            alone = offsets(batch)
        for delivery in batch.deliveries:
            lane.finish(delivery, 0.0)

    assert alone == [poison]
    assert calls - 1 <= 2 * math.ceil(math.log2(size))
    assert feed.assignment.progress.snapshot() == Commit(size)


def test_halves_go_before_anything_else() -> None:
    """The keys of a refused batch do not wait behind newcomers."""
    lane = Lane()
    feed = Feed(lane)
    for number in range(4):
        feed.put(f"k{number}", BATCHED)
    batch = lane.take()
    assert batch is not None
    lane.returned(batch, 0.0)
    feed.put("new", BATCHED)
    lane.bisect(batch)

    assert drain(lane) == [[0, 1], [2, 3], [4]]
