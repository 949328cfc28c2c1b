from __future__ import annotations

import subprocess
import sys
import time

import pytest

PROGRAM = """
import subprocess, sys, time
from worker.refresher import lifeline
print(sys.stdin.readline().strip(), flush=True)
lifeline.hold_on(float(sys.argv[1]))
subprocess.Popen(["sleep", "100"])
time.sleep(100)
"""


@pytest.fixture
def run() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "2"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def begin(run: subprocess.Popen[str]) -> None:
    assert run.stdin is not None
    assert run.stdout is not None
    run.stdin.write("a job\n")
    run.stdin.flush()
    assert run.stdout.readline() == "a job\n"


def test_the_refresher_is_gone(run: subprocess.Popen[str]) -> None:
    """A pipe that ends, ends the run and all that it has started."""
    begin(run)
    out, err = run.communicate(timeout=30)  # would not return while a grandchild holds the pipes
    assert run.returncode != 0
    assert "the refresher is gone" in err
    assert out == ""


def test_the_refresher_is_silent(run: subprocess.Popen[str]) -> None:
    """Words keep it alive; a pipe that is open and says nothing for long enough ends it."""
    begin(run)
    assert run.stdin is not None
    for _ in range(8):
        run.stdin.write("\n")
        run.stdin.flush()
        time.sleep(0.4)
        assert run.poll() is None
    assert run.wait(30) != 0
    for pipe in (run.stdin, run.stdout, run.stderr):
        pipe.close()  # type: ignore[union-attr]
