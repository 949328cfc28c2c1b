"""The watermark never passes a gap, whatever the order, the crashes and the re-reads."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from topics.log import METADATA_BUDGET, Commit
from worker.engine.progress.metadata import ForeignMetadata, LetterCause, Memory, Tries, encode
from worker.engine.progress.offsets import Progress


class Partition(RuleBasedStateMachine):
    """One partition and its owners, one after the other; some offsets are missing in the log."""

    @initialize(start=st.integers(0, 5), holes=st.sets(st.integers(0, 200), max_size=20))
    def begin(self, start: int, holes: set[int]) -> None:
        self.holes = {start + hole for hole in holes}
        self.position = start
        self.progress = Progress(Commit(start))
        self.durable = self.progress.snapshot()
        self.received: set[int] = set()
        self.done: set[int] = set()
        self.done_when_committed: set[int] = set()
        self.start = start

    @rule(count=st.integers(1, 12))
    def read(self, count: int) -> None:
        for offset in range(self.position, self.position + count):
            self.position = offset + 1
            if offset in self.holes:
                continue
            new = self.progress.receive(offset)
            assert new == (offset not in self.done), f"{offset} was {'' if new else 'not '}handed out"
            if new:
                self.received.add(offset)

    @precondition(lambda self: self.received)
    @rule(data=st.data())
    def complete(self, data: st.DataObject) -> None:
        offset = data.draw(st.sampled_from(sorted(self.received)))
        self.received.discard(offset)
        self.done.add(offset)
        self.progress.done(offset)

    @precondition(lambda self: self.received)
    @rule(data=st.data(), spent=st.integers(1, 9), doubt=st.booleans())
    def fail(self, data: st.DataObject, spent: int, doubt: bool) -> None:
        offset = data.draw(st.sampled_from(sorted(self.received)))
        self.progress.tried(offset, Tries(spent, 1_700_000_000.0, 0.0, doubt))

    @precondition(lambda self: self.received)
    @rule(data=st.data(), goes=st.booleans())
    def announce(self, data: st.DataObject, *, goes: bool) -> None:
        offset = data.draw(st.sampled_from(sorted(self.received)))
        if goes:
            self.progress.announce(offset)
        else:
            self.progress.withdraw(offset)

    @rule()
    def commit(self) -> None:
        self.durable = self.progress.snapshot()
        self.done_when_committed = set(self.done)
        assert len(self.durable.metadata) <= METADATA_BUDGET

    @rule()
    def crash(self) -> None:
        self.progress = Progress(self.durable)
        self.done = set(self.done_when_committed)
        self._reread()

    @rule()
    def shed(self) -> None:
        """An opening breaker: forgets what waits, not what it knows."""
        self.progress = self.progress.again()
        self._reread()

    def _reread(self) -> None:
        self.position = self.progress.start
        self.received.clear()

    @invariant()
    def nothing_is_passed(self) -> None:
        """Everything below the watermark is done or was never in the log."""
        watermark = self.progress.snapshot().offset

        assert set(range(self.start, watermark)) <= self.done | self.holes

    @invariant()
    def nothing_received_is_forgotten(self) -> None:
        """What was handed out and is not done is what the progress waits for."""
        assert self.progress.unfinished == len(self.received)


TestPartition = Partition.TestCase
TestPartition.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


@given(st.permutations(range(30)), st.integers(0, 30))
def test_no_order_loses_anything(order: list[int], crash_after: int) -> None:
    """Thirty records done in any order, a crash at any point: the next owner is handed exactly what was not done."""
    progress = Progress(None)
    assert all(progress.receive(offset) for offset in range(30))
    for offset in order[:crash_after]:
        progress.done(offset)

    heir = Progress(progress.snapshot())
    handed = {offset for offset in range(heir.start, 30) if heir.receive(offset)}

    assert handed == set(order[crash_after:])


def test_a_snapshot_is_the_whole_memory() -> None:
    """Watermark, what is done beyond it, what was announced and what was tried come back from a commit."""
    progress = Progress(Commit(100))
    for offset in range(100, 110):
        progress.receive(offset)
    for offset in (100, 101, 105, 107, 108):
        progress.done(offset)
    for offset in (103, 104, 109):
        progress.announce(offset)
    progress.begin(104, 1_700_000_030.0)
    progress.tried(103, Tries(2, 1_700_000_000.0, 1_700_000_060.0, doubt=True))

    heir = Progress(progress.snapshot())

    assert heir.start == heir.watermark == 102
    assert {offset: heir.began(offset) for offset in range(102, 110) if heir.suspected(offset)} == {
        103: 1_700_000_000.0,
        104: 1_700_000_030.0,
        109: 0.0,
    }
    assert heir.tries(103) == Tries(2, 1_700_000_000.0, 1_700_000_060.0, doubt=True)
    assert [offset for offset in range(102, 110) if heir.receive(offset)] == [102, 103, 104, 106, 109]
    assert heir.snapshot() == progress.snapshot()


def test_only_what_is_announced_is_suspected() -> None:
    """A dead owner may have made the call for these, and for no other: nothing below them, nothing that is over."""
    progress = Progress(None)
    for offset in range(10):
        progress.receive(offset)
    for offset in (2, 3, 7, 8):
        progress.announce(offset)
    progress.done(3)
    progress.withdraw(7)

    heir = Progress(progress.snapshot())

    assert [offset for offset in range(10) if heir.suspected(offset)] == [2, 8]
    assert not any(progress.suspected(offset) for offset in range(10))


def test_a_suspicion_is_handed_on_until_it_is_settled() -> None:
    """The next owner dies as well, before it came to this event: the one after it still knows."""
    progress = Progress(Commit(0, encode(0, Memory([(1, 3)], begun={2: 1_700_000_000.0}))))
    for offset in range(3):
        progress.receive(offset)
    progress.done(0)

    heir = Progress(progress.snapshot())

    assert [heir.began(offset) for offset in (1, 2)] == [0.0, 1_700_000_000.0]
    heir.receive(1)
    heir.receive(2)
    heir.done(1)
    heir.done(2)
    assert heir.snapshot() == Commit(3)


def test_doubt_outlives_a_reread() -> None:
    """A call of ours that was cut off is suspected, though its announcement is over."""
    progress = Progress(None)
    progress.receive(0)
    progress.receive(1)
    progress.tried(1, Tries(0, 1_700_000_000.0, doubt=True))

    again = progress.again()

    assert again.suspected(1)
    assert not again.suspected(0)
    assert Progress(progress.snapshot()).suspected(1)


def test_a_reread_by_the_same_owner_suspects_nothing_new() -> None:
    """What we announced and never sent is known to us, though a next owner would have to ask."""
    progress = Progress(None)
    for offset in range(5):
        progress.receive(offset)
        progress.announce(offset)
    progress.done(0)

    again = progress.again()

    assert again.start == 1
    assert not any(again.suspected(offset) for offset in range(1, 5))
    assert again.snapshot() == Commit(1)


def test_a_reread_forgets_nothing_that_a_commit_has_no_room_for() -> None:
    """Thousands of doubts do not fit into a commit, but they do into memory: no call is repeated unasked."""
    dice = random.Random(5)
    progress = Progress(None)
    for offset in range(5_000):
        progress.receive(offset)
        first_at = 1_700_000_000.0 + dice.randrange(900)
        progress.tried(offset, Tries(1, first_at, first_at + dice.randrange(900), doubt=True))
    assert Progress(progress.snapshot()).tries(4_999) is None  # it does not fit

    again = progress.again()

    assert all(again.suspected(offset) for offset in range(5_000))


def test_a_partition_given_up_in_good_order_is_not_under_suspicion() -> None:
    """What was announced and not sent goes out again unasked; what may have happened, or was inherited, does not."""
    progress = Progress(Commit(0, encode(0, Memory(announced=[(0, 2)]))))
    for offset in range(6):
        progress.receive(offset)
        progress.announce(offset)
    progress.tried(4, Tries(0, 1_700_000_000.0, doubt=True))

    heir = Progress(progress.last())

    assert [heir.suspected(offset) for offset in range(6)] == [True, True, False, False, True, False]
    assert all(Progress(progress.snapshot()).suspected(offset) for offset in range(6))


def test_doubts_that_do_not_fit_are_announced() -> None:
    """No room for every attempt: that a call may have happened is said all the same, and of no other."""
    dice = random.Random(5)
    progress = Progress(None)
    for offset in range(5_000):
        progress.receive(offset)
        progress.tried(offset, Tries(1, 1_700_000_000.0 + dice.randrange(900), 0.0, doubt=offset % 3 == 0))

    for commit in (progress.last(), progress.snapshot()):
        heir = Progress(commit)
        assert [offset for offset in range(5_000) if heir.suspected(offset)] == list(range(0, 5_000, 3))


def test_what_is_condemned_stays_so() -> None:
    """By a commit, a reread and an orderly end; attempts and doubt are kept, and nothing of it when it is done."""
    progress = Progress(None)
    for offset in range(3):
        progress.receive(offset)
    for offset in range(3):
        progress.tried(offset, Tries(2, 1_700_000_000.0, 1_700_000_060.0, doubt=offset == 0))
    causes: list[LetterCause] = ["exhausted", "rejected", "unknown-outcome"]

    doubtful = [progress.announce_letter(offset, letter_cause) for offset, letter_cause in enumerate(causes)]

    assert doubtful == [True, False, True]
    for heir in (Progress(progress.snapshot()), Progress(progress.last()), progress.again()):
        assert [heir.tries(offset) for offset in range(3)] == [
            Tries(2, 1_700_000_000.0, 0.0, doubt, letter_cause)
            for doubt, letter_cause in zip(doubtful, causes, strict=True)
        ]
    progress.done(0)
    assert Progress(progress.snapshot()).tries(0) is None


def test_offsets_that_the_log_skips_count_as_done() -> None:
    """A trim or a control record leaves no hole for the watermark to wait at."""
    progress = Progress(Commit(3))
    progress.receive(7)
    progress.receive(9)
    progress.done(7)

    assert progress.snapshot().offset == 9
    progress.done(9)
    assert progress.snapshot() == Commit(10)


def test_offsets_that_are_passed_count_as_done() -> None:
    """Where the log says that it has no record, the watermark goes on, unless something before is undone."""
    progress = Progress(Commit(3))
    progress.receive(4)
    progress.pass_to(9)

    assert progress.snapshot().offset == 4
    progress.done(4)
    assert progress.snapshot() == Commit(9)
    progress.pass_to(6)
    assert progress.snapshot() == Commit(9)
    assert not progress.receive(8)
    assert progress.receive(9)


def test_a_record_read_twice_is_taken_once() -> None:
    """A fetch that overlaps the last one hands out nothing twice."""
    progress = Progress(None)

    assert progress.receive(0)
    assert not progress.receive(0)
    assert progress.unfinished == 1


def test_foreign_metadata_is_refused_and_the_offset_still_usable() -> None:
    """Without the metadata the cost is a repetition, never a loss."""
    with pytest.raises(ForeignMetadata):
        Progress(Commit(12, "somebody else's"))

    assert Progress(Commit(12)).start == 12
