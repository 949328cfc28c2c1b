"""kill -9 at random moments: nothing lost, nothing out of order, nothing doubled but what is told."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from tests.acceptance import rig

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(420)]

KILLS = 10
EVENTS = 5_000


@pytest.mark.parametrize("engine", rig.ENGINES)
def test_ten_kills_during_five_thousand_events(engine: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """The CRM ends exactly as after an undisturbed run; a message is doubled only where the ledger says it may be."""
    dice = random.Random(engine)
    with rig.stage_on(engine, tmp_path, request) as stage:
        crm = stage.sandbox("--latency", "0.2", name="crm")
        chat = stage.sandbox("--slack-rate", "0", "--open-channels", name="chat")
        rig.connect(stage, "hubspot", crm, "--rate", "4", "--concurrency", "4")
        rig.connect(stage, "slack", chat)
        work = rig.days_work(7, EVENTS, rig.existing_contacts(crm, 200), messages=400)
        rig.emit(stage, work.events)
        worker = stage.worker("worker")
        for kill in range(KILLS):
            before = rig.left(stage)
            assert before, f"all done before kill {kill}: the work is too quick for this test"
            rig.wait_until("the worker moves", lambda before=before: rig.left(stage) < before, within=60)  # type: ignore[misc]
            time.sleep(dice.uniform(0.0, 0.8))
            worker.kill()
            worker.wait()
            worker = stage.worker("worker")
        rig.wait_done(stage)
        stage.stop(worker)

        rig.reckon(stage, work, crm, chat)
        rig.no_traceback(stage)
