"""Calls that must not be repeated: how many may be unknown to the log."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from connectors.contract import (
    Delivered,
    Finding,
    Found,
    Rejected,
    Unknown,
    Verdict,
)
from connectors.errors import Unreachable
from tests.tools.one_process_profile import Bench
from tests.worker.left_behind import ACME
from tests.worker.samples import event
from topics import names
from topics.errors import LogUnavailable
from topics.event.event import Event, Operation, Options
from topics.log import Commit, Partition
from worker.engine.progress.metadata import decode


@pytest.mark.parametrize("reply_to", [None, 3])
async def test_no_more_is_unknown_to_the_log_than_may_be_in_flight(bench: Bench, reply_to: int | None) -> None:
    """Whenever a call that counts is made, all but four of them, with it, have an end that a commit knows."""
    saas = bench.connect(limits={"concurrency": 4})
    unknown: list[int] = []

    def answer(_: Event) -> Verdict:
        commit = bench.log.committed(names.DEFAULT.worker_group, [ACME])[ACME]
        assert commit is not None
        known = commit.offset + sum(end - start for start, end in decode(commit.offset, commit.metadata).done)
        unknown.append(len(saas.seen) - known)
        return Delivered()

    saas.answer = answer
    options = Options(reply_to=reply_to)
    bench.emit(*(event(number, operation=Operation.DELETE, options=options) for number in range(100)))

    async with bench.working():
        await bench.eventually(lambda: bench.committed() == 100)

    assert len(saas.seen) == 100
    assert max(unknown) <= 4


async def test_a_log_that_takes_no_commit_holds_calls_that_count(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """They wait, nothing is lost, and what may be repeated goes on; when the log is back, so do they."""
    saas = bench.connect(limits={"concurrency": 2})
    away = asyncio.Event()
    seen_while_away: list[str] = []
    bench.emit(*(event(number, operation=Operation.DELETE) for number in range(8)))

    async with bench.working() as worker:
        commit = worker._consumer.commit

        async def refuse(commits: Mapping[Partition, Commit]) -> None:
            if away.is_set():
                raise LogUnavailable("away")
            await commit(commits)

        def answer(of: Event) -> Verdict:
            away.set()
            return Delivered()

        saas.answer = answer
        monkeypatch.setattr(worker._consumer, "commit", refuse)
        await bench.eventually(away.is_set)
        bench.emit(*(event(number) for number in range(8, 12)))
        await bench.eventually(lambda: {"e8", "e9", "e10", "e11"} <= set(saas.seen))
        seen_while_away += saas.seen
        saas.answer = lambda _: Delivered()
        away.clear()
        await bench.eventually(lambda: bench.committed() == 12)

    assert len([one for one in seen_while_away if one in {f"e{number}" for number in range(8)}]) <= 2
    assert sorted(saas.seen) == sorted(f"e{number}" for number in range(12))


async def test_a_find_that_cannot_be_made_now_is_made_later(bench: Bench) -> None:
    """The vendor does not answer the question: nothing is decided, nothing is sent twice."""
    saas = bench.connect()
    answers = iter([Unreachable("no answer"), Unreachable("no answer")])

    def finding(_: Event) -> Finding:
        error = next(answers, None)
        if error is not None:
            raise error
        return Found(id="v1")

    saas.finding = finding
    saas.answer = lambda _: Unknown("timed out")
    bench.emit(event(1, operation=Operation.ADD))

    async with bench.working():
        await bench.eventually(lambda: bench.committed() == 1)

    assert saas.seen == ["e1"]
    assert len(saas.asked) == 3
    assert [result.outcome for result in bench.results()] == ["delivered"]


async def test_a_conflict_with_somebody_elses_record_ends(bench: Bench) -> None:
    """After a timed out add: exists already, not found, exists already, ... is a letter, not a loop."""
    saas = bench.connect()
    first = iter([Unknown("timed out")])
    saas.answer = lambda _: next(first, None) or Rejected("exists", conflict=True)
    bench.emit(event(1, operation=Operation.ADD))

    async with bench.working():
        await bench.eventually(lambda: bench.committed() == 1)

    assert [letter.verdict for letter in bench.letters()] == ["rejected"]
    assert len(saas.seen) < 10
