"""Who may go out next."""

from __future__ import annotations

import gc
import math
import weakref
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.contract import Function
from tests.worker.samples import ADD, UPSERT, Feed, assignment
from topics.event.event import Operation
from topics.log import Commit
from worker.engine.lane.assignment import Batch
from worker.engine.lane.lane import FIND_MAX, Lane
from worker.engine.progress.metadata import Memory, encode
from worker.engine.progress.offsets import Progress

PAIRS = replace(ADD, batch_max=2)
BATCHED = replace(UPSERT, batch_max=10)
UPDATE = Function("contact", Operation.UPDATE, batch_max=10, idempotent=True)
DELETE = Function("contact", Operation.DELETE, batch_max=10, idempotent=True)
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


# -- keys -------------------------------------------------------------------------------------------------------------


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


# -- batches ----------------------------------------------------------------------------------------------------------


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


# -- live before backfill ---------------------------------------------------------------------------------------------


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


# -- bisecting --------------------------------------------------------------------------------------------------------


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


# -- announcements ----------------------------------------------------------------------------------------------------


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


# -- slots of calls that count ----------------------------------------------------------------------------------------


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


# -- a key's interval -------------------------------------------------------------------------------------------------


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


# -- fencing ----------------------------------------------------------------------------------------------------------


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
