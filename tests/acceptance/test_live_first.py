"""A replay or an import of thousands never delays an alert by more than what the lane has in its hands."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from dead_letter.replay.replay import BATCH
from tests.acceptance import rig
from topics import names
from topics.cli.pace import LAG_LIMIT
from worker.demo.stage import Sandbox, Stage

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(180)]

BACKFILL = 3_000
LETTERS = 2_500
BUFFER = 200


@pytest.mark.parametrize("engine", rig.ENGINES)
def test_an_alert_overtakes_an_import(engine: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """A live event that comes behind thousands of an import goes out before those that are not under way yet."""
    with rig.stage_on(engine, tmp_path, request) as stage:
        crm = stage.sandbox("--latency", "0.1", name="crm")
        _connect(stage, crm)
        path = _path(crm)
        rig.emit(stage, rig.calls("raw", BACKFILL, path=path, keys=BACKFILL, backfill=True))
        worker = stage.worker("worker")
        rig.wait_until("the import is under way", lambda: len(_words(crm)) > 20, within=60)
        overtook = _before_an_alert(stage, crm, path)
        worker.kill()

        print(f"{overtook} of {BACKFILL:,} went out between the alert's birth and its call")
        assert overtook < BACKFILL / 20


def test_a_replay_is_paced(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """A live event waits for what the replay may have put on its topic and what the lane holds, and no more."""
    with rig.stage_on("sqlite", tmp_path, request) as stage:
        stage.log.ensure_topics([names.DEFAULT.events_spec("raw")])
        crm = stage.sandbox("--latency", "0.05", name="crm")
        path = _path(crm)
        worker = stage.worker("up", WRITEBACK_BUDGET_RECORDS=str(BUFFER))
        rig.emit(stage, rig.calls("raw", LETTERS, path=path, keys=LETTERS))
        stage.writeback("topics", "bury", "raw", "--yes")
        rig.wait_done(stage)
        _connect(stage, crm)
        rig.wait_until("the archive has them", lambda: len(rig.letters(stage)) == LETTERS, within=60)
        replay = stage.start(
            sys.executable, "-m", "writeback", "dead-letters", "replay", "--all", "--yes", name="replay"
        )
        rig.wait_until("the replay is under way", lambda: len(_words(crm)) > 100, within=60)
        overtook = _before_an_alert(stage, crm, path)
        going = replay.poll() is None
        replay.kill()
        worker.kill()

        print(f"{overtook} of {LETTERS:,} went out between the alert's birth and its call")
        assert going
        assert overtook <= LAG_LIMIT + BATCH + BUFFER


def _connect(stage: Stage, crm: Sandbox) -> None:
    rig.connect(stage, "raw", crm, "--rate", "1000", "--concurrency", "8", connector="http")


def _path(crm: Sandbox) -> str:
    made = rig.existing(crm, "contacts", [{"email": "a@x.example"}])
    return f"/crm/v3/objects/contacts/{made[0]['id']}"


def _words(crm: Sandbox) -> list[str]:
    """What was written into the record, in order."""
    return [str(entry["properties"]["phone"]) for entry in crm.ledger() if entry["operation"] == "update"]


def _before_an_alert(stage: Stage, crm: Sandbox, path: str) -> int:
    """Emit an alert and wait for its call: how many others went out in between."""
    before = len(_words(crm))
    rig.emit(stage, rig.calls("raw", 1, path=path, keys=1, word="alert"))
    rig.wait_until("the alert is out", lambda: "alert 0" in _words(crm), within=90)
    return _words(crm).index("alert 0") - before
