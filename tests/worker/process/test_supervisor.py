"""Workers are forked, and those that die are forked again, with patience; each test is a supervisor in a process of
its own. The rest is tests/acceptance/test_processes.py.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from worker.process.supervisor import WELL_SECONDS, Pauses

PROGRAM = """
import os, signal, sys, time
from pathlib import Path
import structlog
from worker.clock import FakeClock, SystemClock
from worker.process.children import ChildProcesses
from worker.process.supervisor import Supervisor

structlog.configure([structlog.processors.JSONRenderer()], logger_factory=structlog.PrintLoggerFactory(sys.stderr))
clock = FakeClock()
lives = Path("lives")

class Hurried(ChildProcesses):
    '''Whoever waits for a moment has it at once; whoever waits for a signal waits.'''

    def wait(self, seconds):
        clock.advance(seconds or 0)
        return super().wait(None if seconds is None else 0)

def stop_the_supervisor():
    os.kill(os.getppid(), signal.SIGTERM)

def wait_for_the_end():
    os.read(0, 1)

def life():
    '''The how-manieth life of a worker this is.'''
    with lives.open("a") as file:
        file.write("x")
    return len(lives.read_text())

def work(number):
    WORK

with ChildProcesses() as nursery:
    number, code = Supervisor(COUNT, nursery, grace=GRACE, clock=SystemClock()).run()
    if number is not None:
        work(number)
sys.exit(code)
"""


def supervise(
    folder: Path, work: str, *, count: int = 1, grace: float = 10.0, hurried: bool = False
) -> subprocess.Popen[str]:
    program = PROGRAM.replace("WORK", work.replace("\n", "\n    "))
    program = program.replace("COUNT", str(count)).replace("GRACE", str(grace))
    if hurried:
        program = program.replace("with ChildProcesses()", "with Hurried()").replace(
            "clock=SystemClock()", "clock=clock"
        )
    path = [path for path in sys.path if path]
    return subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=folder,
        env={"PYTHONPATH": ":".join(path)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, list[dict[str, Any]], str]:
    """The exit code, what was logged, and what the workers printed; returns when they all have ended."""
    printed, said = process.communicate(timeout=60)
    return process.returncode, [json.loads(line) for line in said.splitlines()], printed


def test_the_pauses_grow() -> None:
    """0.5, 1, 2, 4, 8, 16, 30, 30 ... seconds, as the class says."""
    pauses = Pauses()

    assert [pauses.after(1.0) for _ in range(8)] == [0.5, 1, 2, 4, 8, 16, 30, 30]


def test_a_worker_that_was_well_is_started_soon() -> None:
    """One that lived a minute begins with the shortest pause again."""
    pauses = Pauses()

    assert [pauses.after(lived) for lived in (1.0, 1.0, WELL_SECONDS, 1.0)] == [0.5, 1, 0.5, 1]


def test_a_worker_that_was_started_wrongly_stops_all(tmp_path: Path) -> None:
    """Wrong settings are wrong again at the next start: the supervisor ends with the worker's own code."""
    code, logs, _ = ended(supervise(tmp_path, "wait_for_the_end() if number == 0 else sys.exit(2)", count=2))

    assert code == 2
    assert [log["event"] for log in logs] == ["process.started"] * 2


def test_one_that_does_not_stop_is_killed(tmp_path: Path) -> None:
    """What ignores the signal is ended when the grace period is over, and the exit code tells."""
    deaf = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nstop_the_supervisor()\nwait_for_the_end()"
    code, logs, _ = ended(supervise(tmp_path, deaf, grace=-8.0))

    assert code == 128 + signal.SIGKILL
    assert [log["event"] for log in logs] == ["process.started", "process.killed"]


def test_the_second_signal_ends_all_at_once(tmp_path: Path) -> None:
    """Whoever asks twice does not wait for the grace period."""
    deaf = "signal.signal(signal.SIGTERM, lambda *_: stop_the_supervisor())\nstop_the_supervisor()\ntime.sleep(60)"
    code, logs, _ = ended(supervise(tmp_path, deaf, grace=1_000.0))

    assert code == 128 + signal.SIGKILL
    assert [log["event"] for log in logs] == ["process.started", "process.killed"]


@pytest.mark.parametrize("code", [0, 1, 70])
def test_the_pause_is_the_clocks(code: int, tmp_path: Path) -> None:
    """Whatever a worker ends with while nobody asked it to, it is started again when the pause is over."""
    work = f"if life() < 4:\n    sys.exit({code})\nstop_the_supervisor()\nwait_for_the_end()"
    _, logs, _ = ended(supervise(tmp_path, work, hurried=True))

    pauses = [(log["code"], log["restart_in"]) for log in logs if log["event"] == "process.ended"]
    assert pauses == [(code, 0.5), (code, 1.0), (code, 2.0)]
    assert len([log for log in logs if log["event"] == "process.started"]) == 4


def test_a_worker_that_dies_of_a_signal_is_started_again(tmp_path: Path) -> None:
    """SIGTERM to a worker is not for its supervisor, even in the first moment of its life."""
    work = "if life() == 1:\n    os.kill(os.getpid(), signal.SIGTERM)\nstop_the_supervisor()\nwait_for_the_end()"
    code, logs, _ = ended(supervise(tmp_path, work, hurried=True))

    assert code == 0
    assert [log["code"] for log in logs if log["event"] == "process.ended"] == [128 + signal.SIGTERM]


def test_each_is_in_a_session_of_its_own(tmp_path: Path) -> None:
    """The Ctrl-C of a terminal goes to a whole session: a worker hears of it from its supervisor only."""
    work = "print(os.getsid(0) == os.getpid(), flush=True)\nif number == 1: stop_the_supervisor()\nwait_for_the_end()"
    _, _, printed = ended(supervise(tmp_path, work, count=2))

    assert "True" in printed
    assert "False" not in printed


def test_all_hear_that_their_supervisor_was_killed(tmp_path: Path) -> None:
    """The pipe ends for each of them, since none holds its other end."""
    process = supervise(tmp_path, "print('began', flush=True)\nwait_for_the_end()\nprint('ended', flush=True)", count=3)
    assert process.stdout is not None
    for _ in range(3):
        assert process.stdout.readline() == "began\n"
    process.kill()
    _, logs, printed = ended(process)

    assert printed == "ended\n" * 3
    assert [log["event"] for log in logs] == ["process.started"] * 3
