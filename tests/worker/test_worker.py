"""The whole worker on the embedded log: what operators do, what vendors do, and what a crash leaves."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping
from typing import Any, get_args

import pytest

from connectors.connections.store import Connections
from connectors.contract import (
    Absent,
    CannotTell,
    Delivered,
    Down,
    Finding,
    Found,
    Limits,
    Rejected,
    Retry,
    Throttled,
    Unknown,
    Verdict,
)
from connectors.errors import Unreachable
from dead_letter.letter.letter import Letter
from tests.tools.one_process_profile import Bench
from tests.worker.samples import event
from topics import names
from topics.errors import LogUnavailable
from topics.event import codec
from topics.event.event import Event, Operation, Options
from topics.log import Commit, Partition
from topics.store.orders import Order
from worker.engine.destination.destination import KEYS_IN_A_ROW, Destination
from worker.engine.dispatch.dispatch import Dispatcher
from worker.engine.dispatch.settle import Settler
from worker.engine.progress.metadata import LetterCause, Memory, Tries, decode, encode
from worker.engine.progress.offsets import Progress
from worker.engine.settlement import deletion
from worker.engine.settlement.outcomes import Outcomes
from worker.worker import Worker

ACME = Partition(names.DEFAULT.events_topic("acme"), 0)


def dispatcher(worker: Worker, slug: str = "acme") -> Dispatcher:
    found = worker._router.intakes[slug].dispatcher
    assert found is not None
    return found


def is_paused(worker: Worker, slug: str = "acme") -> bool:
    """False while a changed connection is opened anew."""
    found = worker._router.intakes[slug].dispatcher
    return found is not None and found.destination.paused


async def leave(bench: Bench, commit: Commit) -> None:
    """What a worker that died has committed last."""

    class Dead:
        def assigned(self, commits: object) -> None: ...

        async def revoked(self, partitions: object) -> dict[Partition, Commit]:
            return {ACME: commit}

        def lost(self, partitions: object) -> None: ...

        def unreadable(self, found: object) -> None: ...

    consumer = bench.log.consumer(names.DEFAULT.worker_group, pattern=names.DEFAULT.events_pattern, rebalance=Dead())
    await consumer.start()
    while not await consumer.poll(1.0):
        pass
    await consumer.close()


# -- the main road ----------------------------------------------------------------------------------------------------


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


# -- bugs of connectors -----------------------------------------------------------------------------------------------


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


# -- operators --------------------------------------------------------------------------------------------------------


async def test_paused_and_resumed(bench: Bench) -> None:
    """Within a second nothing goes out any more; resumed, everything does, in order, and nothing was dead-lettered."""
    saas = bench.connect()
    other = bench.connect("other")
    bench.connections.set_state("acme", "paused", "maintenance")
    bench.emit(*(event(number, "same") for number in range(5)))
    bench.emit(event(9, connection="other"), slug="other")

    async with bench.working() as worker:
        await bench.eventually(lambda: bench.committed("other") == 1)
        await bench.eventually(lambda: is_paused(worker))
        await bench.eventually(lambda: dispatcher(worker).lane.records == 0)  # no memory for what waits for a person
        assert saas.seen == []
        bench.connections.set_state("acme", "active")
        await bench.eventually(lambda: bench.committed() == 5)
        bench.connections.set_state("acme", "paused", "again")
        await bench.eventually(lambda: is_paused(worker))
        bench.emit(event(6))

    assert saas.seen == [f"e{number}" for number in range(5)]
    assert other.seen == ["e9"]
    assert bench.committed() == 5
    assert bench.letters() == []


async def test_changed_settings_are_used_without_a_restart(bench: Bench) -> None:
    """The connector is closed in good order and made anew; the call under way is not cut off."""
    saas = bench.connect()
    saas.open.clear()
    bench.emit(event(1))

    async with bench.working() as worker:
        await bench.eventually(lambda: saas.seen)
        bench.connections.update("acme", limits={"concurrency": 2})
        await bench.eventually(lambda: is_paused(worker))
        saas.open.set()
        await bench.eventually(lambda: saas.built == 2)
        bench.emit(event(2))
        await bench.eventually(lambda: bench.committed() == 2)
        assert dispatcher(worker).destination.limits == Limits(concurrency=2)

    assert saas.seen == ["e1", "e2"]
    assert saas.closed == 2


def _is_held(bench: Bench, slug: str) -> bool:
    standing = bench.connections.standings().get(slug)
    return standing is not None and standing.state == "held"


async def test_what_comes_for_a_removed_connection_waits(bench: Bench) -> None:
    """Nothing is delivered to somebody who is gone, nothing is lost: a new connection of that name gets it."""
    saas = bench.connect()
    bench.emit(event(1))

    async with bench.working() as worker:
        await bench.eventually(lambda: bench.committed() == 1)
        bench.connections.remove("acme")
        await bench.eventually(lambda: worker._router.intakes["acme"].state == "unknown")
        bench.emit(event(2))
        await bench.eventually(lambda: _is_held(bench, "acme"))
        seen = list(saas.seen)
        bench.connect()
        await bench.eventually(lambda: bench.committed() == 2)

    assert seen == ["e1"]
    assert bench.saas["acme"].seen == ["e2"]
    assert bench.letters() == []


async def test_a_flood_of_rejections_quarantines_the_connection(bench: Bench) -> None:
    """The topic is not drained into the dead letters; an operator resumes and the rest is delivered."""
    saas = bench.connect()
    saas.answer = lambda _: Rejected("unknown property 'nickname'")
    bench.emit(*(event(number) for number in range(600)))

    async with bench.working():
        await bench.eventually(lambda: bench.connections.get("acme").state == "quarantined")
        await bench.eventually(lambda: saas.built == 2)  # it has come back to the worker
        dead_lettered = len(bench.letters())
        assert "more than half of the last 200" in bench.connections.get("acme").state_reason
        saas.answer = lambda _: Delivered()
        bench.connections.set_state("acme", "active")
        await bench.eventually(lambda: bench.committed() == 600)

    assert 101 <= dead_lettered <= 101 + 160  # those that were out already
    assert len(bench.letters()) == dead_lettered
    assert len({result.id for result in bench.results()}) == 600


async def test_a_secret_that_does_not_decrypt_holds_only_its_connection(bench: Bench) -> None:
    """Its events wait, unread and not dead-lettered; the others flow; with the secret mended they are delivered."""
    saas = bench.connect(secrets={"token": "t"})
    other = bench.connect("other")
    bench.connections = Connections(bench._store, "1" * 43 + "=")
    bench.emit(event(1))
    bench.emit(event(2, connection="other"), slug="other")

    async with bench.working() as worker:
        await bench.eventually(lambda: bench.committed("other") == 1)
        await bench.eventually(lambda: worker._router.intakes["acme"].state == "held")
        assert "token" in worker._router.intakes["acme"].reason
        assert (saas.built, bench.committed()) == (0, 0)
        bench.connections.update("acme", secrets={"token": "mended"})
        await bench.eventually(lambda: bench.committed() == 1)

    assert (saas.seen, other.seen) == (["e1"], ["e2"])
    assert bench.letters() == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"limits": {"rate": 0}}, "the limit rate is 0"),
        ({"limits": {"concurrency": 0}}, "the limit concurrency is 0"),
        ({"limits": {"per_seconds": "1s"}}, "the limit per_seconds is '1s'"),
        ({"policy": {"on_unknown": "retry"}}, "the policy on_unknown is 'retry'"),
        ({"policy": {"on_unknown": {"add": "maybe"}}}, "the policy on_unknown is"),
    ],
)
async def test_settings_that_cannot_be_kept_hold_only_their_connection(
    bench: Bench, changes: dict[str, Any], reason: str
) -> None:
    """One connection's mistake is not everybody's end."""
    bench.connect(**changes)
    bench.connect("other")
    bench.emit(event(1))
    bench.emit(event(2, connection="other"), slug="other")

    async with bench.working() as worker:
        await bench.eventually(lambda: bench.committed("other") == 1)
        await bench.eventually(lambda: worker._router.intakes["acme"].state == "held")
        assert reason in worker._router.intakes["acme"].reason

    assert bench.committed() == 0


# -- outages ----------------------------------------------------------------------------------------------------------


async def test_an_outage_costs_nothing_and_ends_by_itself(bench: Bench) -> None:
    """Down: paused, memory given back, nothing dead-lettered, no attempt spent; up again: delivered, each once."""
    saas = bench.connect()
    bench.connect("other")
    saas.state = Down("still refused")
    saas.answer = lambda _: Down("connection refused")
    bench.emit(*(event(number, f"k{number % 50}") for number in range(300)))
    bench.emit(event(1, connection="other"), slug="other")

    async with bench.working() as worker:
        await bench.eventually(lambda: saas.probes >= 1 and dispatcher(worker).lane.records == 0)
        assert dispatcher(worker).destination.breaker.state == "open"
        assert all("down" in one.holds for one in worker._router.intakes["acme"].assignments.values())
        await bench.eventually(lambda: bench.committed("other") == 1)
        tried = len(saas.batches)
        saas.state = Delivered()
        saas.answer = lambda _: Delivered()
        await bench.eventually(lambda: bench.committed() == 300)
        assert dispatcher(worker).destination.breaker.state == "closed"

    assert tried <= saas.limits.concurrency
    assert bench.letters() == []
    assert sorted(result.id for result in bench.results()) == sorted([f"e{number}" for number in range(300)] + ["e1"])


async def test_a_throttled_destination_is_waited_for(bench: Bench) -> None:
    """429 costs no attempt and letters nothing, however often it comes."""
    saas = bench.connect()
    refusals = iter(range(6))
    saas.answer = lambda _: Throttled(0.05) if next(refusals, None) is not None else Delivered()
    bench.emit(event(1))

    async with bench.working():
        await bench.eventually(lambda: bench.committed() == 1)

    assert saas.seen == ["e1"] * 7
    assert bench.letters() == []


async def test_a_limit_of_one_key_holds_only_that_key(bench: Bench) -> None:
    """A 429 for one channel waits for that channel: the others go on, and its own messages keep their order."""
    saas = bench.connect()
    refusals = iter(range(1))
    saas.answer = lambda of: (
        Throttled(0.4, scope="key") if of.key == "slow" and next(refusals, None) is not None else Delivered()
    )
    bench.emit(event(1, key="slow"), event(2, key="slow"), *(event(number, key=f"k{number}") for number in range(3, 9)))

    async with bench.working() as worker:
        await bench.eventually(lambda: bench.committed() == 8)
        assert dispatcher(worker).destination.throttle.wait(0.0) == 0

    assert saas.seen[0] == "e1"
    assert saas.seen[-2:] == ["e1", "e2"]
    assert sorted(saas.seen[1:-2]) == [f"e{number}" for number in range(3, 9)]
    assert bench.letters() == []


async def test_a_limit_of_every_key_is_the_connections(bench: Bench) -> None:
    """A vendor that says to each key in turn that it has to wait means the connection: the other keys are not tried."""
    saas = bench.connect(limits={"concurrency": 1})
    saas.answer = lambda _: Throttled(30.0, scope="key")
    bench.emit(*(event(number, key=f"k{number}") for number in range(30)))

    async with bench.working() as worker:
        await bench.eventually(
            lambda: saas.seen and dispatcher(worker).destination.throttle.wait(worker._clock.monotonic()) > 20
        )

    assert KEYS_IN_A_ROW < len(saas.seen) <= KEYS_IN_A_ROW + 2  # one may be on its way when the others are stopped


async def test_a_half_open_batch_with_one_bad_record_closes(bench: Bench) -> None:
    """The vendor answered for the others: the failure is the record's own, and it ends in its letter."""
    saas = bench.connect()
    saas.answer = lambda _: Down("connection refused")
    bench.emit(*(event(number) for number in range(5)))

    async with bench.working() as worker:
        await bench.eventually(lambda: saas.seen and dispatcher(worker).destination.breaker.state == "open")
        saas.answer = lambda of: Retry("500") if of.id == "e3" else Delivered()
        await bench.eventually(lambda: bench.committed() == 5)

    assert [(letter.event_id, letter.verdict) for letter in bench.letters()] == [("e3", "exhausted")]


# -- a crash ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("finding", "seen", "outcome"),
    [(Found(id="v9"), [], "delivered"), (Absent(), ["e0"], "delivered"), (CannotTell("no search"), [], "dead")],
)
async def test_what_a_dead_worker_may_have_sent_is_asked_about(
    bench: Bench, finding: Finding, seen: list[str], outcome: str
) -> None:
    """Found is done, absent goes again, and where nobody can tell the policy of an add is a letter that says so."""
    saas = bench.connect()
    saas.finding = lambda _: finding
    bench.emit(event(0, operation=Operation.ADD), event(1, operation=Operation.ADD))
    await leave(bench, Commit(0, encode(0, Memory(announced=[(0, 1)]))))

    async with bench.working():
        await bench.eventually(lambda: bench.committed() == 2)

    assert [one.id for one in saas.asked] == ["e0"]
    assert sorted(saas.seen) == [*seen, "e1"]
    assert {result.id: result.outcome for result in bench.results()} == {"e0": outcome, "e1": "delivered"}
    assert [letter.verdict for letter in bench.letters()] == (["unknown-outcome"] if outcome == "dead" else [])


async def test_what_a_dead_worker_may_have_sent_and_nobody_can_tell(bench: Bench) -> None:
    """A delete that cannot be asked about is dead-lettered, not repeated; what can be repeated is."""
    saas = bench.connect()
    bench.emit(event(0, operation=Operation.DELETE), event(1))
    await leave(bench, Commit(0, encode(0, Memory(announced=[(0, 2)]))))

    async with bench.working():
        await bench.eventually(lambda: bench.committed() == 2)

    assert saas.seen == ["e1"]
    (letter,) = bench.letters()
    assert (letter.verdict, letter.possible_duplicate) == ("unknown-outcome", True)
    assert "it may have happened" in letter.reason


async def test_a_letter_of_a_crash_says_when_the_call_began(bench: Bench) -> None:
    """Or that it may not have begun: the last commit knew it as announced and no more."""
    bench.connect()
    bench.emit(event(0, operation=Operation.DELETE), event(1, operation=Operation.DELETE))
    memory = Memory(announced=[(0, 2)], begun={0: 1_764_403_403.0})
    await leave(bench, Commit(0, encode(0, memory)))

    async with bench.working():
        await bench.eventually(lambda: bench.committed() == 2)

    reasons = {letter.record.offset: letter.reason for letter in bench.letters()}
    assert "it began at 2025-11-29 08:03:23 UTC" in reasons[0]
    assert "it may not have begun" in reasons[1]


@pytest.mark.parametrize("answer", [Rejected("no such field"), Down("refused"), Throttled(60.0)], ids=repr)
async def test_while_nothing_can_go_out_nothing_is_suspected(bench: Bench, answer: Verdict) -> None:
    """Quarantined, down or throttled: what was announced and not sent is taken back, whenever the worker dies."""
    saas = bench.connect()
    saas.answer = lambda _: answer
    bench.emit(*(event(number, operation=Operation.DELETE) for number in range(600)))

    def suspected() -> int:
        commit = bench.log.committed(names.DEFAULT.worker_group, [ACME])[ACME]
        heir = Progress(commit)
        return sum(heir.receive(offset) and heir.suspected(offset) for offset in range(heir.start, 600))

    async with bench.working():
        await bench.eventually(lambda: bool(saas.seen))  # a commit had announced it
        if isinstance(answer, Rejected):  # until then more goes out, and is announced before
            await bench.eventually(lambda: bench.connections.get("acme").state == "quarantined")
        await bench.eventually(lambda: suspected() == 0)
        await asyncio.sleep(0.5)
        assert suspected() == 0
        assert bench.committed() < 600


# -- one end per event ------------------------------------------------------------------------------------------------


@pytest.fixture
def announced(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> dict[int, str]:
    """By offset: what the log had been told of an event when its letter was handed to it."""
    told: dict[int, str] = {}
    publish = Outcomes.write

    async def look_first(self: Outcomes, letter: Letter) -> None:
        commit = bench.log.committed(names.DEFAULT.worker_group, [ACME])[ACME]
        tries = decode(commit.offset, commit.metadata).tries if commit else {}
        told[letter.record.offset] = (
            tries[letter.record.offset].letter_cause if letter.record.offset in tries else "nothing"
        )
        await publish(self, letter)

    monkeypatch.setattr(Outcomes, "write", look_first)
    return told


async def test_a_letter_is_announced_by_a_commit(bench: Bench, announced: dict[int, str]) -> None:
    """Refused, given up, in doubt, unreadable, unheard of: a next owner knows of the letter before it is there."""
    saas = bench.connect()
    answers: dict[str, Verdict] = {"e0": Rejected("no"), "e1": Retry("busy"), "e2": Unknown("no answer")}
    saas.answer = lambda of: answers.get(of.id, Delivered())
    saas.finding = lambda _: CannotTell("no search")
    bench.emit(event(0), event(1), event(2, operation=Operation.ADD))
    bench.send(b"not json")
    bench.emit(event(4, object="deal"), event(5, connection="other"), event(6))

    async with bench.working():
        await bench.eventually(lambda: bench.committed() == 7)

    expected = ["rejected", "exhausted", "unknown-outcome", "malformed", "unknown-function", "rejected"]
    assert announced == dict(enumerate(expected))
    assert {letter.record.offset: letter.verdict for letter in bench.letters()} == announced


async def test_what_follows_a_letter_is_announced_too(bench: Bench, announced: dict[int, str]) -> None:
    """An event that goes into the dead letters behind an earlier one of its parked record."""
    saas = bench.connect(policy={"on_dead": "park"})
    saas.answer = lambda _: Rejected("no")
    bench.emit(event(0, "same"), event(1, "same"))

    async with bench.working():
        await bench.eventually(lambda: bench.committed() == 2)

    assert announced == {0: "rejected", 1: "blocked"}
    assert saas.seen == ["e0"]


async def test_what_nobody_could_route_is_announced_too(bench: Bench, announced: dict[int, str]) -> None:
    """There may be such a connection when the next owner looks."""
    bench.connect()
    bench.connections.remove("acme")
    bench.emit(event(0))
    bench.orders.give([Order(ACME, "bury", 1, "ops", 1.0)])

    async with bench.working():
        await bench.eventually(lambda: bench.committed() == 1)

    assert announced == {0: "unknown-connection"}


@pytest.mark.parametrize("on_dead", ["continue", "park"])
@pytest.mark.parametrize("letter_cause", get_args(LetterCause)[1:])
async def test_what_a_dead_worker_condemned_is_not_called(
    bench: Bench, letter_cause: LetterCause, on_dead: str
) -> None:
    """Its letter may be there already: it is written again, under the same verdict, whatever would be found out now."""
    saas = bench.connect(policy={"on_dead": on_dead})
    bench.emit(event(0), event(1))
    await leave(bench, Commit(0, encode(0, Memory(announced=[(0, 1)], tries={0: Tries(1, letter_cause=letter_cause)}))))

    async with bench.working():
        await bench.eventually(lambda: bench.committed() == 2)

    assert saas.seen == ["e1"]
    (letter,) = bench.letters()
    assert (letter.event_id, letter.verdict) == ("e0", letter_cause)
    assert letter.possible_duplicate == (letter_cause == "unknown-outcome")
    assert "died before its letter was safe" in letter.reason


async def test_letters_go_out_when_no_commit_has_room_for_them(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than a commit can carry, in no order that would pack: none of them is stuck."""
    saas = bench.connect()
    saas.limits = Limits(concurrency=5_000)
    dice = random.Random(3)
    refused = {f"e{number}" for number in range(3_000) if dice.random() < 0.5}
    saas.answer = lambda of: Rejected("no") if of.id in refused else Delivered()
    monkeypatch.setattr(Destination, "judge", lambda *_, **__: None)  # quarantine is not its subject
    monkeypatch.setattr("worker.engine.progress.metadata.METADATA_BUDGET", 300)
    bench.emit(*(event(number) for number in range(3_000)))

    async with bench.working():
        await bench.eventually(lambda: bench.committed() == 3_000)

    assert {letter.event_id for letter in bench.letters()} == refused


# -- calls that count -------------------------------------------------------------------------------------------------


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


async def test_attempts_go_on_counting_after_a_crash(bench: Bench) -> None:
    """A poison record does not get a new life with every worker that it outlives."""
    saas = bench.connect()
    saas.answer = lambda _: Retry("busy")
    bench.emit(event(0))
    await leave(bench, Commit(0, encode(0, Memory(tries={0: Tries(2, 1_700_000_000.0)}))))

    async with bench.working():
        await bench.eventually(lambda: bench.committed() == 1)

    assert saas.seen == ["e0"]
    assert bench.letters()[0].reason == "busy (gave up after 3 attempts)"


async def test_what_a_dead_worker_did_is_not_done_again(bench: Bench) -> None:
    """Done beyond the watermark is in the commit."""
    saas = bench.connect()
    bench.emit(*(event(number) for number in range(6)))
    await leave(bench, Commit(1, encode(1, Memory(announced=[(1, 6)], done=[(2, 4), (5, 6)]))))

    async with bench.working():
        await bench.eventually(lambda: bench.committed() == 6)

    assert sorted(saas.seen) == ["e1", "e4"]


async def test_foreign_metadata_costs_a_repetition(bench: Bench) -> None:
    """Another tool's commit, or garbage: the offset counts, the rest is ignored with a warning."""
    saas = bench.connect()
    bench.emit(*(event(number) for number in range(3)))
    await leave(bench, Commit(1, "1AXgBY2"))

    async with bench.working():
        await bench.eventually(lambda: bench.committed() == 3)

    assert saas.seen == ["e1", "e2"]


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


# -- stopping ---------------------------------------------------------------------------------------------------------


async def test_a_stop_lets_calls_finish(bench: Bench) -> None:
    """What is under way ends and is committed; what waits is left for the next worker."""
    saas = bench.connect()
    saas.limits = Limits(concurrency=1)
    saas.open.clear()

    async def open_when_stopping(one: Dispatcher) -> None:
        await bench.eventually(lambda: one.destination.paused)
        saas.open.set()

    bench.emit(*(event(number, operation=Operation.DELETE) for number in range(5)))

    async with bench.working() as worker:
        await bench.eventually(lambda: saas.seen)
        opening = asyncio.create_task(open_when_stopping(dispatcher(worker)))
    await opening

    assert saas.seen == ["e0"]
    assert bench.committed() == 1
    assert saas.closed == 1
    async with bench.working():
        await bench.eventually(lambda: bench.committed() == 5)
    assert saas.seen == [f"e{number}" for number in range(5)]


async def test_a_stop_ends_within_its_grace(bench: Bench) -> None:
    """A call that hangs is cut off; its outcome is unknown, and the next worker is told."""
    saas = bench.connect()
    saas.open.clear()
    bench.emit(event(0, operation=Operation.ADD))
    loop = asyncio.get_running_loop()

    async with bench.working(grace_seconds=0.3):
        await bench.eventually(lambda: saas.seen)
        begun = loop.time()

    assert loop.time() - begun < 5
    assert bench.committed() == 0
    saas.open.set()
    saas.finding = lambda _: Found(id="v0")
    async with bench.working():
        await bench.eventually(lambda: bench.committed() == 1)
    assert saas.seen == ["e0"]
    assert [one.id for one in saas.asked] == ["e0"]


async def test_memory_stays_within_the_budget(bench: Bench) -> None:
    """A backlog is not read into memory: a full lane pauses its partitions and flows again."""
    saas = bench.connect()
    saas.limits = Limits(concurrency=2)
    bench.emit(*(event(number) for number in range(3_000)))
    most = 0

    async with bench.working(budget_records=100) as worker:

        def done() -> bool:
            nonlocal most
            most = max(most, worker._router._budget.records)
            return bench.committed() == 3_000

        await bench.eventually(done)
        assert (worker._router._budget.records, worker._router._budget.bytes) == (0, 0)

    assert most <= 100 + 2 * 500  # one poll that came back before the pause, and one that was on its way
    assert len(set(saas.seen)) == 3_000


async def test_all_partitions_of_a_connection_flow(bench: Bench) -> None:
    """Four partitions, one owner, the whole quota; each is committed by itself."""
    saas = bench.connect(partitions=4, limits={"rate": 400})
    for number in range(200):
        bench.emit(event(number), partition=number % 4)

    async with bench.working() as worker:
        await bench.eventually(lambda: [bench.committed(number=number) for number in range(4)] == [50] * 4)
        assert dispatcher(worker).destination.throttle.rate == pytest.approx(388)

    assert len(saas.seen) == 200


async def test_what_is_done_and_old_is_deleted(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker deletes delivered events of its partitions once they are old; what is young, or undone, stays."""
    monkeypatch.setattr(deletion, "LOOK_SECONDS", 0.05)
    saas = bench.connect()
    bench.connect("slow").open.clear()
    for slug in ("acme", "slow"):
        for number, age_s in enumerate((900, 800, 0)):
            encoded = codec.encode(event(number, connection=slug))
            at = int((time.time() - age_s) * 1_000)
            bench.producer.send(names.DEFAULT.events_topic(slug), **encoded._asdict(), timestamp_ms=at)
    bench.producer.flush(30)
    slow = Partition(names.DEFAULT.events_topic("slow"), 0)

    async with bench.working(keep_seconds=600.0):
        await bench.eventually(lambda: bench.log.start_offsets([ACME]) == {ACME: 2})
        await asyncio.sleep(0.2)
        undone = bench.log.start_offsets([slow])
        bench.saas["slow"].open.set()

    assert undone == {slow: 0}
    assert saas.seen == ["e0", "e1", "e2"]


async def test_a_refresh_gets_its_part_of_the_rate(bench: Bench) -> None:
    """While one reads the connection its writes keep to half, from their first call on; then all of it is theirs again.

    One that another tool makes has a quota of its own.
    """
    bench.connect(limits={"rate": 100})
    bench.connect("other", limits={"rate": 100}, policy={"refresh": {"call": {"tool": "command", "command": "true"}}})
    bench.reads |= {"acme", "other"}
    bench.emit(event(0))
    bench.emit(event(1, connection="other"), slug="other")

    async with bench.working() as worker:
        await bench.eventually(lambda: len(bench.results()) == 2)
        rates = [dispatcher(worker, slug).destination.throttle.rate for slug in ("acme", "other")]
        bench.reads.clear()
        await bench.eventually(lambda: dispatcher(worker).destination.throttle.rate == 97)

    assert rates == [48.5, 97]
