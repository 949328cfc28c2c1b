"""Workers that die are started again, with patience; the rest is tests/acceptance/test_processes.py."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from worker.clock import FakeClock, SystemClock
from worker.supervisor import WELL_SECONDS, Pauses, Start, Supervisor


def test_the_pauses_grow() -> None:
    """0.5, 1, 2, 4, 8, 16, 30, 30 ... seconds, as the class says."""
    pauses = Pauses()

    assert [pauses.after(1.0) for _ in range(8)] == [0.5, 1, 2, 4, 8, 16, 30, 30]


def test_a_worker_that_was_well_is_started_soon() -> None:
    """One that lived a minute begins with the shortest pause again."""
    pauses = Pauses()

    assert [pauses.after(lived) for lived in (1.0, 1.0, WELL_SECONDS, 1.0)] == [0.5, 1, 0.5, 1]


def child(code: str) -> Start:
    return Start((sys.executable, "-c", code), {})


async def test_a_worker_that_was_started_wrongly_stops_all() -> None:
    """Wrong settings are wrong again at the next start: the supervisor ends with the worker's own code."""
    patient = "import sys; sys.stdin.read()"
    supervisor = Supervisor([child(patient), child("raise SystemExit(2)")], grace=10, clock=SystemClock())
    with capture_logs() as logs:
        code = await supervisor.run()

    assert code == 2
    assert [log["event"] for log in logs] == ["process.started"] * 2


async def test_one_that_does_not_stop_is_killed(tmp_path: Path) -> None:
    """What ignores the signal is ended when the grace period is over, and the exit code tells."""
    is_deaf = tmp_path / "deaf"
    deaf = f"import signal, sys; signal.signal(15, signal.SIG_IGN); open({str(is_deaf)!r}, 'w'); sys.stdin.read()"
    supervisor = Supervisor([child(deaf)], grace=-8.0, clock=FakeClock())
    running = asyncio.create_task(supervisor.run())
    with capture_logs() as logs:
        while not is_deaf.exists():  # noqa: ASYNC110 - another process makes it
            await asyncio.sleep(0.01)
        supervisor._signalled(supervisor._signal)
        code = await running

    assert code == 128 + 9
    assert [log["event"] for log in logs][-1] == "process.killed"


@pytest.mark.parametrize("code", [0, 1, 70])
async def test_the_pause_is_the_clocks(code: int) -> None:
    """Whatever a worker ends with while nobody asked it to, it is started again when the pause is over."""
    clock = FakeClock()
    supervisor = Supervisor([child(f"raise SystemExit({code})")], grace=10, clock=clock)
    running = asyncio.create_task(supervisor.run())
    with capture_logs() as logs:
        for wanted in (1, 2):
            while sum(log["event"] == "process.ended" for log in logs) < wanted:  # noqa: ASYNC110 - so it is
                await asyncio.sleep(0.01)
            clock.advance(1.0)
        supervisor._signalled(supervisor._signal)
        await running

    ended = [(log["code"], log["restart_in"]) for log in logs if log["event"] == "process.ended"]
    assert ended[:2] == [(code, 0.5), (code, 1.0)]
