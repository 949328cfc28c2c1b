"""A sync that tests command: it speaks the protocol of ``worker/refresher/job.py`` and writes down what it does.

``python -m tests.worker.refresher.a_sync FOLDER``. In the folder, ``orders`` holds what the next runs do, a word and a
number a line: ``sleep 0.5`` and then well, ``fail 1`` (worth a retry), ``reject 1``, ``hang 1``, ``silent 1`` (ends
without a result), ``oom 1`` (is killed). Each run takes the first line; without one it is quick and goes well.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from worker.refresher import lifeline
from worker.refresher.job import Job, Progress, Read, Report, Result


def main(folder: Path) -> int:
    job = Job.model_validate_json(sys.stdin.readline())
    if job.lifeline:
        lifeline.hold_on(job.lifeline)
    word, number = next_order(folder)
    write_down(folder, "began", job, word=word)
    say(Progress(progress=Read(object="contact", rows=1)).line())
    match word:
        case "hang":
            time.sleep(600)
        case "silent":
            print("no space left on the device", file=sys.stderr)
            return 3
        case "oom":
            os.kill(os.getpid(), signal.SIGKILL)
        case "fail" | "reject":
            write_down(folder, "failed", job)
            say(Report(result=Result(status="error", retry=word == "fail", detail="the far side says no")).line())
            return 1
    time.sleep(number)
    say("a library that prints\n")
    say(Progress(progress=Read(object="contact", rows=42)).line())
    write_down(folder, "ended", job)
    say(Report(result=Result(status="ok", rows={"contact": 42}, seconds=number)).line())
    return 0


def say(line: str) -> None:
    sys.stdout.write(line)
    sys.stdout.flush()


def next_order(folder: Path) -> tuple[str, float]:
    path = folder / "orders"
    with path.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        first, *rest = file.read().splitlines() or ["sleep 0"]
        file.truncate(0)
        file.write("".join(f"{line}\n" for line in rest))
    word, number = first.split()
    return word, float(number)


def write_down(folder: Path, what: str, job: Job, **more: Any) -> None:
    entry = {"what": what, "run": job.run, "connection": job.connection, "objects": job.objects, "full": job.full}
    with (folder / "diary").open("a") as file:
        file.write(json.dumps({**entry, "pid": os.getpid(), "at": time.monotonic(), **more}) + "\n")


def diary(folder: Path) -> list[dict[str, Any]]:
    """What the runs have written down, in order."""
    path = folder / "diary"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
