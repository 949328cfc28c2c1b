"""The `writeback` command as a person runs it: a process of its own, in a home of its own.

What runs on is the installed program; what answers and ends is forked (tests/tools/forked.py).
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.tools.forked import writeback

PROGRAM = str(Path(sys.executable).with_name("writeback"))
SECONDS = 120.0


class Person:
    """Runs commands in ``home``, with these settings besides a fresh user's none."""

    def __init__(self, home: Path, **settings: str) -> None:
        home.mkdir(parents=True, exist_ok=True)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("WRITEBACK_")}
        self.home = home
        self.environment = {**inherited, "HOME": str(home), **settings}

    def run(self, *arguments: str, code: int = 0) -> str:
        """What the command prints; fails with all it said when its exit code is another."""
        done = writeback(*arguments, folder=self.home, env=self.environment, seconds=SECONDS)
        said = f"writeback {' '.join(arguments)}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert done.returncode == code, said
        return done.stdout

    def json(self, *arguments: str, code: int = 0) -> Any:
        return json.loads(self.run(*arguments, "--json", code=code))

    @contextmanager
    def running(self, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
        """The command runs while the block does; then it is asked to stop, and must do so in good order."""
        log = self.home / f"{arguments[0]}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [PROGRAM, *arguments], cwd=self.home, env=self.environment, stdout=output, stderr=output
            )
        try:
            yield process
            process.send_signal(signal.SIGTERM)
            assert process.wait(SECONDS) == 0, log.read_text()
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()


def eventually(ask: Callable[[], Any], wanted: Any, seconds: float = 60.0) -> None:
    """Ask until the answer is the wanted one; fails with the last answer."""
    deadline = time.monotonic() + seconds
    answer = ask()
    while answer != wanted and time.monotonic() < deadline:
        time.sleep(0.1)
        answer = ask()
    assert answer == wanted
