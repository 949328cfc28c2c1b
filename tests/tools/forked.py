"""``writeback`` and other programs of ours as processes that are forked from a server which has the rooms loaded.

Processes like any other, with their own log, store, environment and folder, without the second of CPU that a new
interpreter takes to import the rooms. What a person really starts is shown by the tests that install and start it.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import writeback as front_door
from worker.demo import stage

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["tests.tools.loaded"])
NAMES = ("stdin", "stdout", "stderr")


def writeback(
    *arguments: str, folder: Path, env: Mapping[str, str], stdin: str = "", seconds: float | None = None
) -> subprocess.CompletedProcess[str]:
    """The command line as a process in ``folder`` with this environment.

    Raises ``TimeoutExpired`` when it takes longer than ``seconds``; it is then killed.
    """
    command = ["writeback", *arguments]
    with tempfile.TemporaryDirectory(prefix="writeback-forked-") as held:
        files = [Path(held) / name for name in NAMES]
        files[0].write_text(stdin, encoding="utf-8")
        process = SERVER.Process(target=_live, args=(command, folder, dict(env), files))
        process.start()
        try:
            process.join(seconds)
            code = process.exitcode
            if code is None:
                raise subprocess.TimeoutExpired(command, seconds or 0.0)
        finally:
            process.kill()
            process.join()
            process.close()
        said = [file.read_text(encoding="utf-8") for file in files[1:]]
    return subprocess.CompletedProcess(command, code, *said)


def _live(command: Sequence[str], folder: Path, env: Mapping[str, str], files: Sequence[Path]) -> None:
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(env)
    for number, file in enumerate(files):
        opened = os.open(file, os.O_RDWR | os.O_CREAT)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - for as long as the process lives
    sys.argv = [*command]
    try:
        front_door.main()
    finally:
        atexit._run_exitfuncs()  # as an interpreter does at its end, and multiprocessing does not


class ForkedStage(stage.Stage):
    """The stage, with forked commands; what it starts and leaves running is an interpreter of its own."""

    def complete(self, command: Sequence[str], stdin: str, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        ours = len(stage.WRITEBACK)
        if tuple(command[:ours]) != stage.WRITEBACK:
            return super().complete(command, stdin, env)
        return writeback(*command[ours:], folder=self.folder, env=env, stdin=stdin)
