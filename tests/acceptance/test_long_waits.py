"""What must wait for hours waits in place: it blocks its own keys, costs next to nothing, and survives restarts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance import rig
from topics import names
from topics.event.event import Event, Operation
from worker.demo.stage import Stage

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]

WAITING = 100
OFFSETS = 200_000 if os.environ.get("WRITEBACK_TEST_LONG") else 20_000
HOUR = 3_600.0
SOON = 12.0


@pytest.mark.parametrize("engine", rig.ENGINES)
def test_a_hundred_wait_for_an_hour_among_many(engine: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """All others pass them by; attempts and due times outlive the worker; what falls due meanwhile is delivered."""
    with rig.stage_on(engine, tmp_path, request) as stage:
        crm = stage.sandbox("--latency", "0.005", name="crm")
        rig.connect(stage, "hubspot", crm, "--rate", "10000", "--concurrency", "8")
        made = rig.existing(crm, "companies", [{"name": str(number)} for number in range(WAITING)])
        deal = rig.existing(crm, "deals", [{"dealname": "a", "dealstage": "b", "pipeline": "default"}])[0]
        crm.faults(forced=[_locked("/companies", HOUR)] * WAITING + [_locked("/deals", SOON)])
        soon = _update("deal", deal["id"], "soon")
        others = rig.upserts("hubspot", OFFSETS)
        part = OFFSETS // WAITING
        work = [soon]
        for number, company in enumerate(made):
            work += [_update("company", company["id"], "later"), *others[number * part : (number + 1) * part]]
        behind = [_update("company", company["id"], "behind") for company in made]
        worker = stage.worker("worker")
        rig.emit(stage, [*work, *behind])
        rig.wait_until("all others are done", lambda: _contacts(stage) >= OFFSETS, within=120)
        before = rig.memory(stage, "hubspot")
        metadata = _metadata(stage)
        worker.kill()
        worker.wait()
        worker = stage.worker("worker")
        rig.emit(stage, rig.upserts("hubspot", 1, first=OFFSETS))
        rig.wait_until("the next worker works", lambda: _contacts(stage) > OFFSETS, within=120)
        rig.wait_until("the short wait is over", lambda: soon.id in _delivered(stage), within=60)
        after = rig.memory(stage, "hubspot")
        stage.stop(worker)
        calls = [entry for entry in crm.ledger() if entry["operation"] == "update"]
        deals = [entry for entry in calls if entry["object"] == "deals"]
        hourly = {offset: tries for offset, tries in before.tries.items() if tries.due - tries.first_at > 2 * SOON}

        print(f"{len(metadata)} characters of metadata for {len(before.tries)} waiting among {OFFSETS:,}")
        assert len(metadata) <= 2_000
        assert len(hourly) == WAITING
        assert {(tries.spent, round((tries.due - tries.first_at) / HOUR, 1)) for tries in hourly.values()} == {(1, 1.0)}
        assert {offset: after.tries[offset] for offset in hourly} == hourly
        assert len(calls) - len(deals) == WAITING  # once each, and nothing of their keys behind them
        assert [entry["performed"] for entry in deals] == [False, True]
        assert deals[1]["received"] - deals[0]["received"] >= SOON - 1.0  # written down in whole seconds
        rig.no_traceback(stage)


def _locked(path: str, seconds: float) -> dict[str, Any]:
    """HubSpot's word for records that something else works on, with a wait: for one call."""
    return {"kind": "answered", "status": 423, "headers": [["Retry-After", f"{seconds:g}"]], "path": path}


def _update(kind: str, record: str, description: str) -> Event:
    fields = {"id": record, "description": description}
    return Event(operation=Operation.UPDATE, connection="hubspot", object=kind, key=record, fields=fields)


def _delivered(stage: Stage) -> set[str]:
    return {result.id for result in stage.results() if result.outcome == "delivered"}


def _contacts(stage: Stage) -> int:
    return sum(1 for result in stage.results() if result.object == "contact")


def _metadata(stage: Stage) -> str:
    place = rig.events_partition("hubspot")
    commit = stage.log.committed(names.DEFAULT.worker_group, [place])[place]
    assert commit is not None
    return commit.metadata
