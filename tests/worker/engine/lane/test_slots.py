"""How many calls that count are under way at once."""

from __future__ import annotations

from dataclasses import replace

from connectors.contract import Function
from tests.worker.engine.lane.feeding import commit, drain, finish, offsets, window
from tests.worker.samples import ADD, UPSERT, Feed, assignment
from worker.engine.lane.assignment import Batch
from worker.engine.lane.lane import FIND_MAX, Lane


def slotted(count: int, function: Function = ADD) -> tuple[Lane, Feed, list[Batch]]:
    """Two of so many adds are out, the limit; the others are announced."""
    lane = Lane()
    feed = Feed(lane)
    window(lane, count)
    for number in range(count):
        feed.put(f"k{number}", function)
    commit(lane, feed)
    taken = [batch for batch in (lane.take(2), lane.take(2)) if batch]
    assert len(taken) == 2
    assert lane.take(2) is None
    return lane, feed, taken


def end(lane: Lane, batch: Batch) -> None:
    """The call is answered, and its events are done."""
    finish(lane, batch)
    batch.known = batch.assignment.round + 1


def test_a_slot_is_free_when_a_commit_knows_the_end() -> None:
    """A call that is answered would be repeated by a crash as well: it counts until that is over."""
    lane, feed, (first, second) = slotted(5)
    end(lane, first)
    assert lane.take(2) is None
    assert lane.held

    feed.assignment.begin_round()
    end(lane, second)  # behind the snapshot: this commit does not know it
    feed.assignment.confirmed(feed.assignment.round)

    assert lane.committed(feed.assignment)
    assert offsets(lane.take(2)) == [2]
    assert lane.take(2) is None
    assert commit(lane, feed)
    assert offsets(lane.take(2)) == [3]


def test_a_call_that_may_be_repeated_passes_those_that_wait_for_a_slot() -> None:
    """Nobody is held up but those who could be doubled; their turn they keep."""
    lane, feed, (first, second) = slotted(4)
    for number in range(5):
        feed.put(f"u{number}", UPSERT, backfill=number > 2)

    assert drain(lane, 2) == [[4], [5], [6], [7], [8]]
    end(lane, first)
    end(lane, second)
    commit(lane, feed)

    assert drain(lane, 2) == [[2], [3]]


def test_a_call_that_can_be_asked_about_takes_no_slot() -> None:
    """The vendor says whether it happened: a crash doubles none of them."""
    lane = Lane()
    feed = Feed(lane)
    window(lane, 9)
    for number in range(5):
        feed.put(f"k{number}", replace(ADD, findable=True))
    commit(lane, feed)

    assert len(drain(lane, 2)) == 5
    assert feed.assignment.slots == {}


def test_slots_are_the_connections() -> None:
    """Two partitions together have as many as the connection may have calls at once."""
    lane, feed, _ = slotted(2)
    window(lane, 3)
    other = Feed(lane, assignment(number=1))
    other.put("a", ADD)
    commit(lane, other)

    assert lane.take(2) is None
    assert lane.held
    lane.drop(feed.assignment)
    assert offsets(lane.take(2)) == [0]


def test_halves_of_a_batch_need_slots_too() -> None:
    """What was refused as a whole goes out again when there is room for it, in its place before the others."""
    lane, feed, (first, second) = slotted(10, replace(ADD, batch_max=4))
    lane.returned(first, 0.0)
    del feed.assignment.slots[id(first)]
    lane.bisect(first)
    feed.put("u", UPSERT)

    assert drain(lane, 2) == [[0, 1], [10]]
    end(lane, second)
    commit(lane, feed)
    assert drain(lane, 2) == [[2, 3]]


def test_a_reread_keeps_the_slots_of_what_no_commit_knows() -> None:
    """The first commit of the partition, read again, knows how its calls have ended."""
    lane, feed, (first, _) = slotted(3)
    end(lane, first)

    again = feed.assignment.again()
    assert [offsets(batch) for batch in again.slots.values()] == [[0]]
    again.begin_round()
    again.confirmed(again.round)

    assert again.free()
    assert again.slots == {}


def test_a_suspect_is_asked_about_first() -> None:
    """An earlier owner may have made the call: ``find`` before any second try, without an announcement."""
    lane = Lane()
    feed = Feed(lane)
    delivery = feed.put("a", replace(ADD, findable=True))
    feed.assignment.unannounced.clear()
    delivery.suspect = True
    lane.offer(delivery, 0.0)

    batch = lane.take()

    assert batch is not None
    assert batch.action == "find"


def test_questions_go_together() -> None:
    """Up to a hundred in one ``find``, whatever the function's batch is."""
    lane = Lane()
    feed = Feed(lane)
    function = replace(ADD, findable=True)
    for number in range(150):
        delivery = feed.put(f"k{number}", function)
        lane.offer(delivery, 0.0, action="find")

    assert [len(taken) for taken in drain(lane)] == [FIND_MAX, 50]
