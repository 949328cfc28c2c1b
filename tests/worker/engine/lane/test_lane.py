"""Who may go out next: keys in their order, live before backfill, a key's interval, fencing."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.worker.engine.lane.feeding import BATCHED, DEAL, commit, drain, finish, offsets
from tests.worker.samples import ADD, UPSERT, Feed, assignment
from topics.log import Commit
from worker.engine.lane.assignment import Batch
from worker.engine.lane.lane import Lane


def test_a_key_has_one_event_out() -> None:
    """The next of a key goes when the one before it is done; other keys do not wait."""
    lane = Lane()
    feed = Feed(lane)
    for key in ("a", "a", "b", "a"):
        feed.put(key)

    first, other = lane.take(), lane.take()
    assert (offsets(first), offsets(other)) == ([0], [2])
    assert lane.take() is None
    finish(lane, first)

    assert offsets(lane.take()) == [1]
    assert lane.take() is None


def test_the_same_key_of_another_object_is_another_key() -> None:
    """A contact and a deal with the same id have nothing to do with each other."""
    lane = Lane()
    feed = Feed(lane)
    feed.put("1", UPSERT)
    feed.put("1", DEAL)

    assert drain(lane) == [[0], [1]]


def test_a_retrying_event_holds_up_only_its_key() -> None:
    """It waits in place; what is behind it on its key waits with it, everybody else passes."""
    lane = Lane()
    feed = Feed(lane)
    for key in ("a", "a", "b"):
        feed.put(key)
    first = lane.take()
    assert first is not None
    lane.returned(first, 0.0)
    lane.offer(first.deliveries[0], 0.0, due=5.0)

    assert drain(lane) == [[2]]
    assert lane.release_due(4.9) == 5.0
    assert drain(lane) == []
    assert lane.release_due(5.0) is None
    assert drain(lane) == [[0]]


def test_what_an_earlier_owner_planned_is_kept() -> None:
    """A retry that was due in a minute is still due in a minute after a restart."""
    lane = Lane()
    to = assignment()
    feed = Feed(lane, to)
    delivery = feed.put("a")
    lane.take()
    lane.offer(delivery, 10.0, due=70.0)

    assert lane.release_due(10.0) == 70.0
    assert lane.waiting == 1


def test_done_events_leave_nothing_behind() -> None:
    """Records, bytes and keys of an emptied lane are nought, and all of it may be committed."""
    lane = Lane()
    feed = Feed(lane)
    for key in ("a", "b", "a", "c"):
        feed.put(key)
    assert lane.records == 4
    assert lane.bytes > 0
    while (batch := lane.take()) is not None:
        finish(lane, batch)

    assert (lane.records, lane.bytes, feed.assignment.keys, feed.assignment.out) == (0, 0, 0, 0)
    assert feed.assignment.progress.snapshot() == Commit(4)


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=30), st.randoms(use_true_random=False))
def test_within_a_key_the_order_is_the_topics(keys: list[str], dice: object) -> None:
    """Whatever comes back first, a key's events go out in the order of their offsets, one at a time."""
    lane = Lane()
    feed = Feed(lane)
    for key in keys:
        feed.put(key, BATCHED)
    out: list[Batch] = []
    sent: dict[str, list[int]] = {}
    while True:
        while (batch := lane.take()) is not None:
            assert len({delivery.key for delivery in batch.deliveries}) == len(batch.deliveries)
            out.append(batch)
            for delivery in batch.deliveries:
                sent.setdefault(delivery.key, []).append(delivery.offset)
        under_way = [delivery.key for batch in out for delivery in batch.deliveries]
        assert len(set(under_way)) == len(under_way)
        if not out:
            break
        finish(lane, out.pop(dice.randrange(len(out))))  # type: ignore[attr-defined]

    assert all(went == sorted(went) for went in sent.values())
    assert sum(len(went) for went in sent.values()) == len(keys)


@pytest.mark.parametrize("replay", [True, False])
def test_live_goes_before_backfills_and_replays(replay: bool) -> None:
    """A flood from last year does not delay what happens now."""
    lane = Lane()
    feed = Feed(lane)
    for number in range(3):
        feed.put(f"old{number}", replay=replay, backfill=not replay)
    feed.put("new")

    assert drain(lane) == [[3], [0], [1], [2]]


def test_a_replay_does_not_overtake_its_own_key() -> None:
    """Within a key the order is the topic's, live or not."""
    lane = Lane()
    feed = Feed(lane)
    feed.put("a", replay=True)
    feed.put("a")
    feed.put("b")

    assert drain(lane) == [[2], [0]]


def test_a_key_keeps_its_interval() -> None:
    """One message per second and channel; other channels are not slowed."""
    lane = Lane()
    feed = Feed(lane)
    slow = replace(UPSERT, key_interval=1.0)
    for key in ("general", "general", "random"):
        feed.put(key, slow)

    first = lane.take()
    assert offsets(first) == [0]
    finish(lane, first, now=10.0)

    assert drain(lane) == [[2]]
    assert lane.release_due(10.9) == 11.0
    assert drain(lane) == []
    lane.release_due(11.0)
    assert drain(lane) == [[1]]


@pytest.mark.parametrize(("answered", "due"), [(10.02, 11.02), (10.6, 11.03), (14.0, 14.0)])
def test_the_interval_of_a_key_begins_with_the_request(answered: float, due: float) -> None:
    """A vendor counts what arrives: a slow answer costs nothing, but for a margin for the ways there."""
    lane = Lane()
    feed = Feed(lane)
    for _ in range(2):
        feed.put("general", replace(UPSERT, key_interval=1.0))
    first = lane.take()
    assert first is not None
    first.began = 10.0
    finish(lane, first, now=answered)

    waits_until = lane.release_due(answered)
    assert (waits_until or answered) == pytest.approx(due)


def test_a_retry_keeps_the_interval_too() -> None:
    """It is the calls that the vendor counts, not the successes."""
    lane = Lane()
    feed = Feed(lane)
    feed.put("general", replace(UPSERT, key_interval=1.0))
    batch = lane.take()
    assert batch is not None
    lane.returned(batch, 10.0)

    lane.offer(batch.deliveries[0], 10.0, due=10.1)

    assert lane.release_due(10.0) == 11.0


def test_intervals_of_long_ago_are_forgotten() -> None:
    """Memory does not grow with the number of channels ever written to."""
    lane = Lane()
    feed = Feed(lane)
    slow = replace(UPSERT, key_interval=1.0)
    for number in range(3_000):
        feed.put(f"k{number}", slow, now=float(number))
        finish(lane, lane.take(), now=float(number))

    assert len(lane._paced) < 1_100


def test_a_closed_assignment_hands_out_nothing() -> None:
    """After a revocation nothing of it starts: not what is ready, due, announced, or half of a refused batch."""
    lane = Lane()
    feed = Feed(lane)
    late = feed.put("late")
    halved = lane.take()
    assert halved is not None
    lane.returned(halved, 0.0)
    lane.offer(late, 0.0, due=1.0)
    for number in range(4):
        feed.put(f"k{number}", BATCHED)
    batch = lane.take()
    assert batch is not None
    lane.returned(batch, 0.0)
    lane.bisect(batch)
    feed.put("add", ADD)
    feed.put("ready")

    lane.drop(feed.assignment)
    commit(lane, feed)
    lane.release_due(9.0)

    assert drain(lane) == []
    assert lane.records == 0
    assert lane.waiting == 0


def test_dropping_one_partition_leaves_the_others() -> None:
    """A rebalance takes only what it takes."""
    lane = Lane()
    gone, kept = (Feed(lane, assignment(number=number)) for number in (0, 1))
    gone.put("a")
    kept.put("b")

    lane.drop(gone.assignment)
    batch = lane.take()

    assert batch is not None
    assert batch.assignment is kept.assignment
    assert lane.take() is None


def test_what_is_dropped_is_let_go() -> None:
    """An assignment that is read again leaves nothing of itself in the lane, though nothing goes out any more."""
    lane = Lane()
    feed = Feed(lane)
    for key in ("a", "b", "c", "c"):
        feed.put(key)
    first = lane.take()
    assert first is not None
    lane.returned(first, 0.0)
    lane.offer(first.deliveries[0], 0.0, due=60.0)
    dropped = weakref.ref(feed.assignment)

    lane.drop(feed.assignment)
    del feed, first
    gc.collect()

    assert dropped() is None
