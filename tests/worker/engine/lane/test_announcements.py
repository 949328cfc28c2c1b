"""What is announced to the log before it goes out."""

from __future__ import annotations

from dataclasses import replace

from connectors.contract import Function
from tests.worker.engine.lane.feeding import announced, commit, drain, finish, offsets, window
from tests.worker.samples import ADD, UPSERT, Feed, assignment
from topics.event.event import Operation
from topics.log import Commit
from worker.engine.lane.lane import Lane
from worker.engine.progress.metadata import Memory, encode

PAIRS = replace(ADD, batch_max=2)
UPDATE = Function("contact", Operation.UPDATE, batch_max=10, idempotent=True)
DELETE = Function("contact", Operation.DELETE, batch_max=10, idempotent=True)


def test_what_cannot_be_repeated_waits_for_its_announcement() -> None:
    """An add starts only when a commit says that it may have been made; an upsert starts at once."""
    lane = Lane()
    feed = Feed(lane)
    feed.put("a", ADD)
    feed.put("b", UPSERT)

    assert drain(lane) == [[1]]
    assert commit(lane, feed)
    assert announced(feed) == [0]
    assert drain(lane) == [[0]]


def test_announcements_go_a_window_at_a_time() -> None:
    """Only what can be sent soon is announced: the rest would be under suspicion after a crash for nothing."""
    lane = Lane()
    feed = Feed(lane)
    window(lane, 3)
    for number in range(8):
        feed.put(f"k{number}", ADD)

    sent = []
    while commit(lane, feed):
        batches = []
        while (batch := lane.take()) is not None:
            batches.append(batch)
        sent.append(len(batches))
        for batch in batches:
            finish(lane, batch)

    assert sent == [3, 3, 2]


def test_what_is_announced_and_not_sent_counts() -> None:
    """A destination that takes nothing now does not get the whole lane announced, window by window."""
    lane = Lane()
    feed = Feed(lane)
    window(lane, 3)
    for number in range(50):
        feed.put(f"k{number}", ADD)
    for _ in range(10):
        commit(lane, feed)

    assert announced(feed) == [0, 1, 2]
    assert lane.window.room == 0
    batch = lane.take()
    assert lane.window.room == 0
    finish(lane, batch)
    assert lane.window.room == 1


def test_the_next_of_a_key_waits_for_the_commit_that_knows_the_last() -> None:
    """A crash now would repeat the one before it behind it."""
    lane = Lane()
    feed = Feed(lane)
    feed.put("a", ADD)
    feed.put("a", ADD)
    feed.put("b", ADD)
    window(lane, 9)
    commit(lane, feed)
    batch = lane.take()
    assert offsets(batch) == [0]
    finish(lane, batch)

    assert drain(lane) == [[2]]
    commit(lane, feed)
    assert drain(lane) == [[1]]


def test_a_deletion_waits_for_the_commit_that_knows_the_change_before_it() -> None:
    """Or a crash would repeat the change on a record that is gone, and write a letter about it."""
    lane = Lane()
    feed = Feed(lane)
    feed.put("a", UPDATE)
    feed.put("a", DELETE)
    batch = lane.take()
    assert offsets(batch) == [0]
    finish(lane, batch)
    feed.put("b", DELETE)  # what was before it on its key may be among what is done and not committed

    assert drain(lane) == []
    assert feed.assignment.wants_commit
    assert commit(lane, feed)
    assert announced(feed) == []
    assert drain(lane) == [[1, 2]]


def test_a_deletion_with_nothing_before_it_starts_at_once() -> None:
    """Where all that is done is committed, there is nothing to wait for."""
    lane = Lane()
    feed = Feed(lane)
    feed.put("a", DELETE)

    assert drain(lane) == [[0]]


def test_what_an_earlier_owner_announced_waits_for_one_commit() -> None:
    """Its announcement does not know what we did before it on its key."""
    lane = Lane()
    feed = Feed(lane, assignment(Commit(0, encode(0, Memory(announced=[(0, 5)])))))
    feed.put("a", ADD)

    assert drain(lane) == []
    assert commit(lane, feed)
    assert drain(lane) == [[0]]


def test_what_is_read_again_is_announced_again() -> None:
    """Its owner knows that it was not sent: nobody suspects it, and it waits for a commit of its own."""
    lane = Lane()
    feed = Feed(lane)
    feed.put("a", ADD)
    commit(lane, feed)

    again = Feed(Lane(), feed.assignment.again())
    again.put("a", ADD)

    assert announced(again) == []
    assert drain(again.lane) == []
    assert commit(again.lane, again)
    assert drain(again.lane) == [[0]]


def test_what_was_not_done_is_announced_no_longer() -> None:
    """The vendor said no, and it goes again later: meanwhile a crash suspects nothing."""
    lane = Lane()
    feed = Feed(lane)
    delivery = feed.put("a", ADD)
    commit(lane, feed)
    batch = lane.take()
    assert batch is not None
    assert announced(feed) == [0]
    lane.returned(batch, 0.0)
    lane.offer(delivery, 0.0, due=5.0)
    assert announced(feed) == []

    lane.release_due(5.0)

    assert drain(lane) == []
    assert commit(lane, feed)
    assert announced(feed) == [0]
    assert drain(lane) == [[0]]


def test_halves_of_a_refused_batch_stay_announced() -> None:
    """They go out at once, without a commit in between."""
    lane = Lane()
    feed = Feed(lane)
    window(lane, 2)
    for number in range(8):
        feed.put(f"k{number}", PAIRS)
    commit(lane, feed)
    batch = lane.take()
    assert batch is not None
    lane.returned(batch, 0.0)
    lane.bisect(batch)

    assert announced(feed) == [0, 1, 2, 3]
    assert lane.window.room == 0
    assert drain(lane) == [[0], [1], [2, 3]]


def test_while_nothing_can_go_out_nothing_is_announced() -> None:
    """Ready, waiting for their commit or halves of a refused batch: all of it is taken back, and goes in its order."""
    lane = Lane()
    feed = Feed(lane)
    window(lane, 4)
    for number in range(8):
        feed.put(f"k{number}", PAIRS)
    commit(lane, feed)
    batch = lane.take()
    assert batch is not None
    lane.returned(batch, 0.0)
    lane.bisect(batch)
    feed.assignment.begin_round()
    lane.window.announce([feed.assignment])

    lane.window.shut = True
    assert lane.withdraw() == [feed.assignment]
    assert lane.withdraw() == []

    assert announced(feed) == []
    assert not commit(lane, feed)
    assert drain(lane) == []
    lane.window.shut = False
    assert commit(lane, feed)
    assert drain(lane) == [[0, 1], [2, 3], [4, 5], [6, 7]]


def test_partitions_share_one_window() -> None:
    """A call for each in turn, and none is passed over when there is room for one call only."""
    lane = Lane()
    feeds = [Feed(lane, assignment(number=number)) for number in range(3)]
    for feed in feeds:
        for number in range(9):
            feed.put(f"k{number}", ADD)
    window(lane, 4)
    for feed in feeds:
        feed.assignment.begin_round()
    lane.window.announce([feed.assignment for feed in feeds])
    assert [announced(feed) for feed in feeds] == [[0, 1], [0], [0]]

    order = []
    for _ in range(4):
        window(lane, lane.window.calls + 1)
        before = [len(announced(feed)) for feed in feeds]
        lane.window.announce([feed.assignment for feed in feeds])
        order += [place for place, feed in enumerate(feeds) if len(announced(feed)) > before[place]]

    assert order == [1, 2, 0, 1]
