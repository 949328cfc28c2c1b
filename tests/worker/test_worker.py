"""The whole worker on the embedded log: what becomes of an event, and of a bug in a connector."""

from __future__ import annotations

import asyncio

import pytest

from connectors.contract import (
    Delivered,
    Finding,
    Found,
    Rejected,
    Retry,
    Unknown,
    Verdict,
)
from tests.tools.one_process_profile import Bench
from tests.worker.samples import event
from topics import names
from topics.event.event import Event, Operation, Options
from topics.log import Partition
from worker.engine.dispatch.settle import Settler


async def test_everything_is_delivered_and_in_the_ledger(bench: Bench) -> None:
    """A thousand events: each once, batched, each with its outcome and the vendor's id, all of it committed."""
    saas = bench.connect()
    bench.emit(*(event(number, f"k{number % 300}") for number in range(1_000)))

    async with bench.working():
        await bench.eventually(lambda: bench.committed() == 1_000)

    assert sorted(saas.seen) == sorted(f"e{number}" for number in range(1_000))
    assert len(saas.batches) < 500
    results = bench.results()
    assert {(result.id, result.outcome, result.detail) for result in results} == {
        (f"e{number}", "delivered", f"v-e{number}") for number in range(1_000)
    }
    assert bench.letters() == []


async def test_a_rejected_event_is_a_letter_with_its_story(bench: Bench) -> None:
    """The original, the vendor's words and the attempt; the others of its batch are delivered."""
    saas = bench.connect()
    saas.answer = lambda of: Rejected("email is invalid") if of.id == "e1" else Delivered()
    bench.emit(*(event(number) for number in range(3)))

    async with bench.working():
        await bench.eventually(lambda: bench.committed() == 3)

    (letter,) = bench.letters()
    assert (letter.event_id, letter.verdict, letter.reason) == ("e1", "rejected", "email is invalid")
    assert [(attempt.number, attempt.outcome) for attempt in letter.attempts] == [(1, "rejected")]
    assert (letter.connector, letter.connector_version) == ("acme", "1.0")
    assert {result.id: result.outcome for result in bench.results()} == {
        "e0": "delivered",
        "e1": "dead",
        "e2": "delivered",
    }


async def test_a_retry_that_never_helps_ends_in_a_letter(bench: Bench) -> None:
    """Three attempts, all of them told; its key's next event is delivered behind it."""
    saas = bench.connect()
    saas.answer = lambda of: Retry("busy") if of.id == "e0" else Delivered()
    bench.emit(event(0, "same"), event(1, "same"))

    async with bench.working():
        await bench.eventually(lambda: bench.committed() == 2)

    (letter,) = bench.letters()
    assert letter.verdict == "exhausted"
    assert letter.reason == "busy (gave up after 3 attempts)"
    assert [attempt.number for attempt in letter.attempts] == [1, 2, 3]
    assert saas.seen == ["e0", "e0", "e0", "e1"]


async def test_a_batch_refused_as_a_whole_is_bisected(bench: Bench) -> None:
    """One poison record among ten is alone in its letter."""
    saas = bench.connect()

    def answer(of: Event) -> Verdict:
        poisoned = any(one.id == "e7" for one in saas.batches[-1])
        return Rejected("one of these is bad", whole=True) if poisoned else Delivered()

    saas.answer = answer
    bench.emit(*(event(number) for number in range(10)))

    async with bench.working():
        await bench.eventually(lambda: bench.committed() == 10)

    assert [letter.event_id for letter in bench.letters()] == ["e7"]
    assert len(bench.results()) == 10


async def test_who_asked_gets_the_vendors_answer(bench: Bench) -> None:
    """Delivered or dead, on the partition that the event names, and nobody else is written to."""
    saas = bench.connect()
    saas.answer = lambda of: Rejected("no") if of.id == "e2" else Delivered({"id": 7, "half": "\ud800"}, id="7")
    bench.emit(event(1, options=Options(reply_to=3)), event(2, options=Options(reply_to=3)), event(3))

    async with bench.working():
        await bench.eventually(lambda: bench.committed() == 3)

    delivered, dead = sorted(bench.replies(), key=lambda reply: reply.id)
    assert (delivered.id, delivered.outcome, delivered.detail) == ("e1", "delivered", {"id": 7, "half": "?"})
    assert (dead.id, dead.outcome, dead.reason) == ("e2", "dead", "no")
    assert dead.letter == bench.letters()[0].id
    ends = bench.log.end_offsets([Partition(names.DEFAULT.replies, number) for number in range(8)])
    assert {partition.number for partition, end in ends.items() if end} == {3}


async def test_a_connector_that_raises_is_an_unknown(bench: Bench) -> None:
    """It may have happened: an upsert goes again, and the letter at the end names the bug."""
    saas = bench.connect()

    def answer(of: Event) -> Verdict:
        raise ZeroDivisionError("oops")

    saas.answer = answer
    bench.emit(event(1))

    async with bench.working():
        await bench.eventually(lambda: bench.committed() == 1)

    (letter,) = bench.letters()
    assert letter.verdict == "exhausted"
    assert "ZeroDivisionError('oops')" in letter.reason
    assert len(saas.batches) == 3


async def test_a_connector_that_forgets_an_answer(bench: Bench) -> None:
    """Fewer verdicts than events are no verdicts: nothing is taken for delivered, nothing hangs."""
    saas = bench.connect()

    async def deliver(batch: object) -> list[Verdict]:
        return []

    saas.deliver = deliver  # type: ignore[method-assign]
    bench.emit(event(1))

    async with bench.working():
        await bench.eventually(lambda: bench.committed() == 1)

    assert "0 answers to 1 events" in bench.letters()[0].reason


async def test_headers_that_a_connector_cannot_read_lose_no_answer(bench: Bench) -> None:
    """A bug in ``quota`` is told, and the verdict of the call still counts."""
    saas = bench.connect()

    def quota() -> None:
        raise ValueError("X-RateLimit: soon")

    saas.quota = quota  # type: ignore[method-assign]
    bench.emit(event(1))

    async with bench.working():
        await bench.eventually(lambda: bench.committed() == 1)

    assert [result.outcome for result in bench.results()] == ["delivered"]


async def test_one_event_that_cannot_be_asked_about_holds_up_only_itself(bench: Bench) -> None:
    """A ``find`` that fails on one of twenty is repeated for fewer, until that one is alone."""
    saas = bench.connect()
    saas.answer = lambda _: Unknown("no answer")

    def finding(of: Event) -> Finding:
        if of.id == "e5":
            raise KeyError("email")
        return Found(id="v")

    saas.finding = finding
    bench.emit(*(event(number, operation=Operation.ADD) for number in range(20)))

    async with bench.working():
        await bench.eventually(lambda: bench.committed() == 20)

    (letter,) = bench.letters()
    assert (letter.event_id, letter.verdict) == ("e5", "unknown-outcome")
    assert "KeyError('email')" in letter.reason


async def test_a_bug_of_ours_ends_the_worker_loudly(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Better an exit that is seen than an event that nobody carries any more."""
    bench.connect()
    monkeypatch.setattr(Settler, "verdicts", lambda *_: 1 / 0)
    bench.emit(event(1))

    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(bench.worker().run(asyncio.Event()), 30)

    assert bench.committed() == 0
