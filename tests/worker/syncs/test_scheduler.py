"""The scheduler: what is due runs once, and what is wrong with one sync does not stop the others."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.worker.syncs.conftest import World
from worker.clock import SystemClock
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
