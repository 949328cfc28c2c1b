"""What a dead worker may have sent: its last commit says what is asked about, and what is not done again."""

from __future__ import annotations

import asyncio

import pytest

from connectors.contract import (
    Absent,
    CannotTell,
    Down,
    Finding,
    Found,
    Rejected,
    Retry,
    Throttled,
    Verdict,
)
from tests.tools.one_process_profile import Bench
from tests.worker.left_behind import ACME, leave
from tests.worker.samples import event
from topics import names
from topics.event.event import Operation
from topics.log import Commit
from worker.engine.progress.metadata import Memory, Tries, encode
from worker.engine.progress.offsets import Progress


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
