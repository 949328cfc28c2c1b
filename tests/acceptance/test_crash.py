"""kill -9 at random moments: nothing lost, nothing out of order, nothing doubled but what is told."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from tests.acceptance import rig
from tests.benchmarks.far_end import FarEnd
from tests.benchmarks.work import single
from topics import names
from topics.event.event import Operation
from topics.log import Partition
from worker.demo.stage import Stage

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(420)]

KILLS = 10
EVENTS = 5_000
AT_ONCE = 32
ERP = ("--set", "allow_private_addresses=true", "--concurrency", str(AT_ONCE), "--on-unknown", "add=retry")
TRIES = 10
"""At hitting the moment between a letter and the commit behind it."""


@pytest.mark.parametrize("engine", rig.ENGINES)
def test_ten_kills_during_five_thousand_events(engine: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """The CRM ends exactly as after an undisturbed run; a message is doubled only where the ledger says it may be."""
    dice = random.Random(engine)
    with rig.stage_on(engine, tmp_path, request) as stage:
        crm = stage.sandbox("--latency", "0.2", name="crm")
        chat = stage.sandbox("--slack-rate", "0", "--open-channels", name="chat")
        rig.connect(stage, "hubspot", crm, "--rate", "4", "--concurrency", "2")
        rig.connect(stage, "slack", chat)
        work = rig.days_work(7, EVENTS, rig.existing_contacts(crm, 200), messages=400)
        rig.emit(stage, work.events)
        worker = stage.worker("worker")
        for kill in range(KILLS):
            before = rig.left(stage, "hubspot")
            assert before, f"all done before kill {kill}: the work is too quick for this test"
            rig.wait_until("it moves", lambda before=before: rig.left(stage, "hubspot") < before, within=60)  # type: ignore[misc]
            time.sleep(dice.uniform(0.0, 0.8))
            worker.kill()
            worker.wait()
            worker = stage.worker("worker")
        rig.wait_done(stage)
        stage.stop(worker)

        rig.reckon(stage, work, crm, chat)
        rig.no_traceback(stage)


@pytest.mark.parametrize("engine", rig.ENGINES)
def test_a_kill_doubles_no_more_than_was_in_flight(engine: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Under load, at a vendor that cannot be asked, where the policy is to try again: so many per kill, and told."""
    with rig.stage_on(engine, tmp_path, request) as stage, FarEnd() as far:
        _connect(stage, far)
        far.reset(3_000, ms=20.0)
        events = [single("erp", n, 1_000, operation=Operation.ADD) for n in range(3_000)]
        rig.emit(stage, events)
        for settled in (1_000, 2_000):
            worker = stage.worker("worker")
            assert far.wait_settled(settled, 90)
            worker.kill()
            worker.wait()
        worker = stage.worker("worker")
        rig.wait_done(stage)
        stage.stop(worker)
        report = far.report()
        told = {result.id for result in stage.results() if result.possible_duplicate}

        assert (report.lost, report.disordered) == (0, 0)
        assert report.doubled <= 2 * AT_ONCE
        assert report.doubled <= len(told)
        rig.no_traceback(stage)


@pytest.mark.parametrize("engine", rig.ENGINES)
def test_a_kill_behind_a_letter(engine: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """The letter is there, no commit knows it, and the vendor would take the event now: it is not asked again."""
    with rig.stage_on(engine, tmp_path, request) as stage, FarEnd() as far:
        _connect(stage, far)
        dead_lettered = [_kill_behind_a_letter(stage, far, 0)]
        while rig.left(stage) == 0:  # the commit was quicker than the kill
            assert len(dead_lettered) < TRIES
            dead_lettered.append(_kill_behind_a_letter(stage, far, len(dead_lettered)))
        announced = rig.memory(stage, "erp").tries
        far.reset(100)
        late = single("erp", 99, 1_000)
        rig.emit(stage, [late])
        worker = stage.worker("worker")
        rig.wait_done(stage)
        stage.stop(worker)
        outcomes = {result.id: result.outcome for result in stage.results()}

        assert [tries.letter_cause for tries in announced.values()] == ["rejected"]
        assert far.report().settled == 1
        assert outcomes == {late.id: "delivered", **dict.fromkeys(dead_lettered, "dead")}
        assert sorted(letter["letter"]["event_id"] for letter in rig.letters(stage)) == sorted(dead_lettered)
        rig.no_traceback(stage)


def _connect(stage: Stage, far: FarEnd) -> None:
    stage.writeback(
        "connections", "add", "erp", "--connector", "http", "--set", f"base_url={far.url}", "--no-test", *ERP
    )


def _kill_behind_a_letter(stage: Stage, far: FarEnd, number: int) -> str:
    """The id of an event that is refused; the worker dies as soon as its letter can be read."""
    letters = [Partition(names.DEFAULT.dead_letter, n) for n in range(stage.log.topics()[names.DEFAULT.dead_letter])]
    before = sum(stage.log.end_offsets(letters).values())
    far.reset(100, poison=1)
    event = single("erp", number, 1_000)
    rig.emit(stage, [event])
    worker = stage.worker("worker")
    until = time.monotonic() + 60
    while sum(stage.log.end_offsets(letters).values()) == before:
        assert time.monotonic() < until, "no letter"
    worker.kill()
    worker.wait()
    return event.id
