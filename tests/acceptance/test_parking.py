"""With ``on_dead: park`` the order of a record outlives its dead letter: kills, replays and second deaths."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance import rig
from topics.event.event import Event, Operation
from topics.log.retention import Retention
from worker.demo.stage import Stage

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(180)]

BAD, GOOD = "ada@refused.example", "ada@x.example"


class Case:
    """A CRM with two contacts: the order of the first one matters, the second one is everybody else."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.crm = stage.sandbox("--latency", "0.02", name="crm")
        rig.connect(stage, "hubspot", self.crm, "--on-dead", "park")
        self.ada, self.other = (record for record, _ in rig.existing_contacts(self.crm, 2))
        self.worker = stage.worker("worker")

    def restart(self) -> None:
        """As after a power cut."""
        self.worker.kill()
        self.worker.wait()
        self.worker = self.stage.worker("worker")

    def change(self, record: str, number: int, **more: str) -> Event:
        fields = {"id": record, "firstname": str(number), **more}
        event = Event(operation=Operation.UPDATE, connection="hubspot", object="contact", key=record, fields=fields)
        rig.emit(self.stage, [event])
        return event

    def die(self) -> str:
        """The first change of the record is refused and the second waits behind it; the letter of the first."""
        self.change(self.ada, 0, email=BAD)
        self.change(self.ada, 1)
        rig.wait_done(self.stage)
        return str(self.open()[0]["id"])

    def taken(self, record: str) -> list[int]:
        """The numbers that the CRM took for a record, in order."""
        updates = [entry for entry in rig.ledger_of(self.crm) if entry["record_id"] == record]
        return [int(entry["properties"]["firstname"]) for entry in updates if entry["operation"] == "update"]

    def open(self) -> list[dict[str, Any]]:
        """The open letters, the oldest first."""
        letters: list[dict[str, Any]] = self.stage.json("dead-letters", "list", "--limit", "1000")
        return letters[::-1]

    def parked(self) -> list[dict[str, Any]]:
        keys: list[dict[str, Any]] = self.stage.json("dead-letters", "parked")
        return keys

    def correct(self, letter: str) -> None:
        self.stage.writeback("dead-letters", "edit", letter, "--set", f"email={GOOD}")

    def replay(self) -> str:
        return self.stage.writeback("dead-letters", "replay", "--all", "--yes").stdout

    def done(self) -> None:
        rig.wait_done(self.stage)
        self.stage.stop(self.worker)
        rig.no_traceback(self.stage)


@pytest.fixture(params=rig.ENGINES)
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Case]:
    with rig.stage_on(request.param, tmp_path, request) as stage:
        yield Case(stage)


def test_a_record_waits_in_order_behind_its_dead_letter(case: Case) -> None:
    """Its changes follow the dead one, over a kill; the others flow; after edit and replay all are there in order."""
    first = case.die()
    for number in (2, 3):
        case.change(case.ada, number)
        case.change(case.other, number)
    rig.wait_done(case.stage)
    case.restart()
    for number in (4, 5):
        case.change(case.ada, number)
    rig.wait_done(case.stage)
    letters, (key,) = case.open(), case.parked()
    told = case.stage.writeback("dead-letters", "show", letters[1]["id"]).stdout
    case.correct(first)
    said = case.replay()
    rig.wait_until("the key flows", lambda: not case.parked(), within=30)
    case.change(case.ada, 6)
    case.done()

    assert [letter["verdict"] for letter in letters] == ["rejected"] + ["blocked"] * 5
    assert (key["record_key"], key["first"], key["open"]) == (
        f"contact/{case.ada}",
        first,
        [letter["id"] for letter in letters],
    )
    assert f"it waits behind letter {first[:12]}" in told
    assert said == "6 replayed\n1 parked key will flow again when the workers get there\n"
    assert case.taken(case.ada) == [0, 1, 2, 3, 4, 5, 6]
    assert case.taken(case.other) == [2, 3]


def test_a_change_that_comes_during_the_replay(case: Case) -> None:
    """It is diverted, so the key stays parked; a second replay brings it, in its turn, and frees the key."""
    first = case.die()
    case.correct(first)
    replay = case.stage.start(
        *(sys.executable, "-m", "writeback", "dead-letters", "replay", "--all", "--yes", "--rate", "0.5"), name="replay"
    )
    rig.wait_until("the first one is back", lambda: case.taken(case.ada) == [0], within=30)
    case.change(case.ada, 2)
    replay.wait()
    rig.wait_done(case.stage)
    (key,), (late,) = case.parked(), case.open()
    said = case.replay()
    rig.wait_until("the key flows", lambda: not case.parked(), within=30)
    case.change(case.ada, 3)
    case.done()

    assert (key["open"], key["last"], late["verdict"]) == ([late["id"]], late["id"], "blocked")
    assert said == "1 replayed\n1 parked key will flow again when the workers get there\n"
    assert case.taken(case.ada) == [0, 1, 2, 3]


def test_a_replay_that_dies_again(case: Case) -> None:
    """Nothing overtakes it: what was replayed behind it is diverted once more, and the next replay has their order."""
    case.die()
    case.change(case.ada, 2)
    rig.wait_done(case.stage)
    case.replay()
    rig.wait_done(case.stage)
    case.restart()
    (key,), again = case.parked(), {letter["id"]: letter for letter in case.open()}
    case.correct(key["open"][0])
    case.replay()
    rig.wait_until("the key flows", lambda: not case.parked(), within=30)
    case.done()

    assert [again[letter]["verdict"] for letter in key["open"]] == ["rejected", "blocked", "blocked"]
    assert key["barred"] is False
    assert case.taken(case.ada) == [0, 1, 2]


def test_a_replay_after_the_log_has_deleted_what_is_done(case: Case) -> None:
    """Letters, parked keys and replays need nothing of the records that the retention deletes; nor does a restart."""
    first = case.die()
    case.change(case.other, 2)
    rig.wait_done(case.stage)
    log, place = case.stage.log, rig.events_partition("hubspot")
    Retention(log, log.names.worker_group, keep_s=7 * 86_400).delete([place], time.time() + 8 * 86_400)
    left = log.end_offsets([place])[place] - log.start_offsets([place])[place]
    case.restart()
    case.change(case.ada, 2)
    case.change(case.other, 3)
    rig.wait_done(case.stage)
    case.correct(first)
    said = case.replay()
    rig.wait_until("the key flows", lambda: not case.parked(), within=30)
    case.change(case.ada, 3)
    case.done()

    assert left == 0
    assert said == "3 replayed\n1 parked key will flow again when the workers get there\n"
    assert case.taken(case.ada) == [0, 1, 2, 3]
    assert case.taken(case.other) == [2, 3]
