"""A letter is announced by a commit before it is written, so that an event has one end."""

from __future__ import annotations

import random
from typing import get_args

import pytest

from connectors.contract import (
    CannotTell,
    Delivered,
    Limits,
    Rejected,
    Retry,
    Unknown,
    Verdict,
)
from dead_letter.letter.letter import Letter
from tests.tools.one_process_profile import Bench
from tests.worker.left_behind import ACME, leave
from tests.worker.samples import event
from topics import names
from topics.event.event import Operation
from topics.log import Commit
from topics.store.orders import Order
from worker.engine.destination.destination import Destination
from worker.engine.progress.metadata import LetterCause, Memory, Tries, decode, encode
from worker.engine.settlement.outcomes import Outcomes


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
