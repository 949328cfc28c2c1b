"""Ledger first, then the commit, one at a time, only what changed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any, cast

import pytest

from tests.worker.samples import ADD, Feed, assignment
from topics.errors import CommitFenced, LogUnavailable, RecordRefused
from topics.event.result import Result, unpack
from topics.log import Commit, Partition, Position
from worker.clock import FakeClock
from worker.engine.lane.assignment import Assignment
from worker.engine.lane.lane import Lane
from worker.engine.progress.metadata import CROWDED, Tries
from worker.engine.settlement.committer import INTERVAL, MAX_REQUEST_METADATA, RETRY_AFTER, Committer
from worker.engine.settlement.ledger import MAX_BYTES, Ledger
from worker.engine.settlement.publisher import RetryingPublisher


class Log:
    """A producer and a consumer that write down what reached them, in order; ``failures``: for the next commits."""

    def __init__(self) -> None:
        self.story: list[tuple[str, Any]] = []
        self.failures: list[Exception] = []
        self.refusals: list[Exception] = []
        self.unacknowledged: list[Future[Position]] = []
        self.slow = False

    def send(self, topic: str, *, value: bytes, **_: Any) -> Future[Position]:
        future: Future[Position] = Future()
        if self.refusals:
            future.set_exception(self.refusals.pop(0))
            return future
        if self.slow:
            self.unacknowledged.append(future)
            return future
        self.story.append(("ledger", [result.id for result in unpack(value)]))
        future.set_result(Position(Partition(topic, 0), 0))
        return future

    async def commit(self, commits: Mapping[Partition, Commit]) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.story.append(("commit", dict(commits)))

    @property
    def commits(self) -> list[dict[Partition, Commit]]:
        return [what for name, what in self.story if name == "commit"]


class WorkerPort:
    """A committer, and what it told of."""

    def __init__(self) -> None:
        self.log = Log()
        self.clock = FakeClock()
        self.ledger = Ledger(RetryingPublisher(cast("Any", self.log), "results", self.clock))
        self.told: list[Assignment] = []
        self.committer = Committer(cast("Any", self.log), self.ledger, self.clock, self.told.append)


def done(number: int = 0, count: int = 1) -> Assignment:
    one = assignment(number=number)
    for offset in range(count):
        one.progress.receive(offset)
        one.progress.done(offset)
    return one


def result(name: str) -> Result:
    return Result(name, "delivered", "acme", "contact", "upsert", "k", "t", 0, 0, 1, 0.0)


async def turns(count: int = 10) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_the_ledger_is_acknowledged_before_the_commit() -> None:
    """An offset never moves before its outcome is durable."""
    worker = WorkerPort()
    worker.ledger.add(result("e0"))
    worker.log.slow = True
    one = done()
    worker.committer.dirty(one)
    committing = asyncio.create_task(worker.committer.commit())
    await turns()
    assert worker.log.commits == []

    worker.log.story.append(("ledger", ["e0"]))
    worker.log.unacknowledged[0].set_result(Position(one.partition, 0))
    await committing

    assert worker.log.story == [("ledger", ["e0"]), ("commit", {one.partition: Commit(1)})]
    assert worker.told == [one]


async def test_a_round_that_is_cut_off_loses_no_outcome() -> None:
    """A stop in the middle of a round: the results are published by the next one, before the offsets."""
    worker = WorkerPort()
    worker.ledger.add(result("e0"))
    worker.log.slow = True
    one = done()
    worker.committer.dirty(one)
    committing = asyncio.create_task(worker.committer.commit())
    await turns()
    committing.cancel()
    await asyncio.gather(committing, return_exceptions=True)
    worker.log.slow = False

    await worker.committer.commit()

    assert worker.log.story == [("ledger", ["e0"]), ("commit", {one.partition: Commit(1)})]


async def test_two_flushes_wait_for_each_other() -> None:
    """A revocation in the middle of a round does not return before the round's results are durable."""
    worker = WorkerPort()
    worker.ledger.add(result("e0"))
    worker.log.slow = True
    first = asyncio.create_task(worker.ledger.flush())
    await turns()
    second = asyncio.create_task(worker.ledger.flush())
    await turns()
    assert not second.done()

    worker.log.unacknowledged[0].set_result(Position(Partition("t", 0), 0))
    await first
    await second


async def test_the_ledger_waits_for_a_log_that_is_away() -> None:
    """Repeated until the log has it; the offsets wait."""
    worker = WorkerPort()
    worker.ledger.add(result("e0"))
    worker.log.refusals = [LogUnavailable("away"), LogUnavailable("away")]
    one = done()
    worker.committer.dirty(one)
    committing = asyncio.create_task(worker.committer.commit())
    for _ in range(10):
        await turns()
        worker.clock.advance(5.0)
    await committing

    assert [name for name, _ in worker.log.story] == ["ledger", "commit"]


async def test_a_ledger_record_fits_its_topic() -> None:
    """Five hundred keys of a thousand characters, four bytes each, are split by size."""
    worker = WorkerPort()
    sizes: list[int] = []
    send = worker.log.send

    def weigh(topic: str, *, value: bytes, **more: Any) -> Future[Position]:
        sizes.append(len(value))
        return send(topic, value=value, **more)

    worker.log.send = weigh  # type: ignore[method-assign]
    for number in range(500):
        worker.ledger.add(Result(**{**vars_of(result(f"e{number}")), "key": "\N{PILE OF POO}" * 1_000}))

    await worker.ledger.flush()

    assert max(sizes) <= MAX_BYTES
    assert sorted(name for _, names in worker.log.story for name in names) == sorted(f"e{n}" for n in range(500))


def vars_of(one: Result) -> dict[str, Any]:
    return one._asdict()


async def test_only_what_changed_is_committed() -> None:
    """A partition at rest costs nothing; whoever waits for the round is told all the same."""
    worker = WorkerPort()
    one, other = done(0), done(1)
    for both in (one, other):
        worker.committer.dirty(both)
    await worker.committer.commit()
    one.progress.receive(1)
    one.progress.done(1)
    for both in (one, other):
        worker.committer.dirty(both)

    await worker.committer.commit()

    assert worker.log.commits[1] == {one.partition: Commit(2)}
    assert other.committed_round == other.round == 2
    assert worker.told.count(other) == 2


async def test_the_rounds_announcement_counts_when_it_is_committed() -> None:
    """What waits since the round began is not in its commit, and does not count as if it were."""
    worker = WorkerPort()
    feed = Feed(Lane())
    feed.lane.window.calls = feed.lane.window.ahead = 9
    feed.put("a", ADD)
    worker.committer.dirty(feed.assignment)
    worker.log.slow = True
    worker.ledger.add(result("e0"))
    committing = asyncio.create_task(worker.committer.commit())
    await turns()
    feed.put("b", ADD)
    worker.log.unacknowledged[0].set_result(Position(feed.assignment.partition, 0))
    await committing

    assert feed.lane.committed(feed.assignment)
    batch = feed.lane.take()
    assert batch is not None
    assert [delivery.offset for delivery in batch.deliveries] == [0]
    assert feed.lane.take() is None


@pytest.mark.parametrize("error", [CommitFenced("not ours"), LogUnavailable("away")])
async def test_what_fails_stays_dirty(error: Exception) -> None:
    """After a pause it is tried again; nothing was told to be committed meanwhile."""
    worker = WorkerPort()
    one = done()
    worker.log.failures = [error]
    worker.committer.dirty(one)
    committing = asyncio.create_task(worker.committer.commit())
    await turns()
    assert worker.told == []
    worker.clock.advance(RETRY_AFTER)
    await committing

    await worker.committer.commit()

    assert worker.log.commits == [{one.partition: Commit(1)}]
    assert worker.told == [one]


async def test_a_partition_that_is_gone_is_not_committed() -> None:
    """Closed before the round: its new owner's commit is not overwritten."""
    worker = WorkerPort()
    gone, kept = done(0), done(1)
    worker.committer.dirty(gone)
    worker.committer.dirty(kept)
    gone.closed = True

    await worker.committer.commit()

    assert worker.log.commits == [{kept.partition: Commit(1)}]


async def test_a_partition_that_came_back_is_committed_anew() -> None:
    """What somebody else committed in between is not known here: no commit is left out as unchanged."""
    worker = WorkerPort()
    one = done()
    worker.committer.dirty(one)
    await worker.committer.commit()
    one.closed = True
    worker.committer.forget(one)
    again = done()
    worker.committer.dirty(again)

    await worker.committer.commit()

    assert len(worker.log.commits) == 2


async def test_a_request_carries_at_most_half_a_megabyte() -> None:
    """Kafka fails a larger one as a whole, for ever."""
    worker = WorkerPort()
    for number in range(260):
        one = assignment(number=number)
        for offset in range(1_200):
            one.progress.receive(offset)
            one.progress.tried(offset, Tries(1, 1_700_000_000.0 + offset * 7919 % 90_000, 0.0))
        worker.committer.dirty(one)

    await worker.committer.commit()

    sizes = [sum(len(commit.metadata) for commit in commits.values()) for commits in worker.log.commits]
    assert sum(len(commits) for commits in worker.log.commits) == 260
    assert max(sizes) <= MAX_REQUEST_METADATA


async def test_a_crowded_commit_is_told() -> None:
    """From three quarters of the budget on the partition takes no new records."""
    worker = WorkerPort()
    one = assignment()
    for offset in range(5_000):
        one.progress.receive(offset)
        one.progress.tried(offset, Tries(1, 1_700_000_000.0 + offset * 7919 % 90_000, 0.0))
        if len(one.progress.snapshot().metadata) >= CROWDED if offset % 50 == 0 else False:
            break
    worker.committer.dirty(one)

    await worker.committer.commit()

    assert one.crowded


async def test_a_dirty_partition_commits_within_its_interval() -> None:
    """Many outcomes, one commit; the first at once, the next not before 50 ms."""
    worker = WorkerPort()
    running = asyncio.create_task(worker.committer.run())
    one = done(count=3)
    worker.committer.dirty(one)
    worker.clock.advance(0.0)
    await turns()
    for offset in (3, 4, 5):
        one.progress.receive(offset)
        one.progress.done(offset)
        worker.committer.dirty(one)
    worker.clock.advance(INTERVAL * 0.9)
    await turns()
    assert [commits[one.partition].offset for commits in worker.log.commits] == [3]
    worker.clock.advance(INTERVAL * 0.2)
    await turns()
    running.cancel()

    assert [commits[one.partition].offset for commits in worker.log.commits] == [3, 6]


async def test_behind_a_slow_round_the_next_follows_at_once() -> None:
    """The interval is counted from where the round began: what it took too long is not waited for on top."""
    worker = WorkerPort()
    running = asyncio.create_task(worker.committer.run())
    one = done()
    worker.ledger.add(result("e0"))
    worker.log.slow = True
    worker.committer.dirty(one)
    await turns()
    one.progress.receive(1)
    one.progress.done(1)
    worker.committer.dirty(one)
    worker.clock.advance(INTERVAL * 1.1)
    await turns()
    assert worker.log.commits == []
    worker.log.unacknowledged[0].set_result(Position(one.partition, 0))
    await turns()
    running.cancel()

    assert [commits[one.partition].offset for commits in worker.log.commits] == [1, 2]


async def test_an_urgent_one_does_not_wait() -> None:
    """Calls that wait for their announcement wait no 50 ms on top."""
    worker = WorkerPort()
    running = asyncio.create_task(worker.committer.run())
    one = done()
    worker.committer.urgent(one)
    await turns()
    one.progress.receive(1)
    one.progress.done(1)
    worker.committer.urgent(one)
    await turns()
    running.cancel()

    assert [commits[one.partition].offset for commits in worker.log.commits] == [1, 2]


async def test_a_refused_ledger_is_not_swallowed() -> None:
    """The offsets do not move, and the worker hears of it."""
    worker = WorkerPort()
    worker.ledger.add(result("e0"))
    worker.log.refusals = [RecordRefused("too large")]
    worker.committer.dirty(done())

    with pytest.raises(RecordRefused):
        await worker.committer.commit()

    assert worker.log.commits == []
