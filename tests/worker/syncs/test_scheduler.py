"""The scheduler: what is due runs once, and what is wrong with one sync does not stop the others."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.worker.alerts.conftest import alert_of
from tests.worker.syncs.conftest import World
from worker.alerts.findings import Findings
from worker.clock import FakeClock, SystemClock
from worker.syncs.plan import target
from worker.syncs.scheduler import Scheduler
from worker.syncs.state.runs import Runs
from worker.syncs.state.syncs import Syncs

DUE = "table: people\nkey: id\nconnection: Crm\nobject: contact\nmap: {email: email}\nschedule: every 1h\n"


async def test_what_is_due_runs_once_in_the_whole_cluster(world: World, tmp_path: Path) -> None:
    """Two schedulers, a missed run, one that is paused, one that is not due and a file that cannot be read."""
    folder = tmp_path / "syncs"
    folder.mkdir()
    for name, text in {
        "due": DUE,
        "paused": DUE,
        "by_hand": DUE.replace("schedule: every 1h\n", ""),
        "broken": "opject: 1",
    }.items():
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    world.people(1, 3)
    Syncs(world.store).pause("paused", paused=True)
    Syncs(world.store).set_due("due", SystemClock().now() - 5 * 3_600)
    stop = asyncio.Event()
    schedulers = [Scheduler(world.runner, folder, SystemClock()) for _ in range(2)]
    tasks = [asyncio.create_task(one.run(stop)) for one in schedulers]
    async with asyncio.timeout(30):
        while not sum(one.ended["due", "ok"] for one in schedulers):  # noqa: ASYNC110 - it happens in threads
            await asyncio.sleep(0.05)
    stop.set()
    await asyncio.gather(*tasks)

    runs = await asyncio.to_thread(Runs(world.store).list)
    assert [(run.sync, run.state, run.asked_by, run.sent) for run in runs] == [("due", "ok", "schedule", 3)]
    assert [await one.unready() for one in schedulers] == ["", ""]


async def test_a_sync_that_fails_is_told_and_tried_less_and_less_often(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it fails of: a bug of ours is in the log with its traceback, in the history and in the alerts."""
    folder = tmp_path / "syncs"
    folder.mkdir()
    (folder / "due.yaml").write_text(DUE, encoding="utf-8")
    monkeypatch.setattr(target, "_identifier", lambda _: bugs["a bug"])
    world.people(1, 3)
    clock = FakeClock()
    scheduler = Scheduler(world.runner, folder, clock)
    bugs: dict[str, str] = {}
    waits = []
    for _ in range(6):
        with capture_logs() as said:
            for _ in range(3):
                await scheduler._look()
                await asyncio.gather(*scheduler._running.values())
        (failed,) = [one for one in said if one["event"] == "sync.failed"]
        assert (failed["reason"], failed["log_level"], failed["exc_info"]) == ("KeyError: 'a bug'", "error", True)
        waits.append(failed["retry_in"])
        clock.advance(failed["retry_in"])
    assert waits == [60, 120, 240, 480, 960, 960]
    newest = (await asyncio.to_thread(Runs(world.store).list))[0]
    assert (newest.state, newest.error) == ("failed", "KeyError: 'a bug'")
    assert [one.reason for one in Findings(world.settings, world.store).of(alert_of(on="sync_failed"), 0.0)] == [
        "the sync due has failed: KeyError: 'a bug'. `writeback syncs runs due`"
    ]

    monkeypatch.undo()
    await scheduler._look()
    await asyncio.gather(*scheduler._running.values())
    assert scheduler.ended == {("due", "failed"): 6, ("due", "ok"): 1}
