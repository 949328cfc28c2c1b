"""A worker that slept (a suspended machine, a stopped container) wakes up to find that its work went to another."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.acceptance import rig

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(180)]

EVENTS = 12


@pytest.mark.parametrize("engine", rig.ENGINES)
def test_a_sleeper_does_not_go_on_where_it_stopped(engine: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Its next call would put an old value over the newest; it makes none before it knows what is still its own."""
    with rig.stage_on(engine, tmp_path, request) as stage:
        crm = stage.sandbox("--latency", "0.3", name="crm")
        made = rig.existing(crm, "contacts", [{"email": "a@x.example"}])
        path = f"/crm/v3/objects/contacts/{made[0]['id']}"
        rig.connect(stage, "raw", crm, "--rate", "1000", connector="http")
        rig.emit(stage, rig.calls("raw", EVENTS, path=path, keys=1))
        sleeper = stage.worker("worker", name="sleeper")
        rig.wait_until("the first worker works", lambda: len(rig.ledger_of(crm)) > 3, within=60)
        sleeper.send_signal(signal.SIGSTOP)
        second = stage.worker("worker", name="second")
        rig.wait_done(stage)
        sleeper.send_signal(signal.SIGCONT)
        gone = "partition.lost"
        rig.wait_until("the sleeper knows", lambda: bool(rig.said(stage, "sleeper", event=gone)), within=60)
        rig.emit(stage, rig.calls("raw", 1, path=path, keys=1, word="last"))
        rig.wait_done(stage)
        for worker in (sleeper, second):
            stage.stop(worker)
        words = [str(entry["properties"]["phone"]) for entry in rig.ledger_of(crm) if entry["operation"] == "update"]

        assert words[-2:] == [f"call {EVENTS - 1}", "last 0"]
        rig.no_traceback(stage, "sleeper")
