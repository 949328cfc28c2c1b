"""A table of rows to HubSpot's batch endpoint over the embedded log: ``writeback import`` and a worker that runs.

Beside it drt (https://github.com/drt-hub/drt), which has no log: it reads the rows from SQLite and posts them, a
hundred in a call, one call after the other; ``peers/drt`` is its set-up. Each command counts whole, start included.
"""

from __future__ import annotations

import csv
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.far_end import FarEnd
from tests.benchmarks.figures import Figure
from tests.benchmarks.peer import CACHE, HERE, Peer, Unavailable
from tests.benchmarks.processes import cpu_seconds
from tests.benchmarks.sizes import TINY, Sizes
from tests.benchmarks.stand import SETTLE, Process, Stand, stop
from tests.benchmarks.work import batched
from topics import names
from worker.demo.stage import WRITEBACK, Stage

CASE = "rows over the embedded log"
OURS = "writeback import, and a worker"
COLUMNS = ("email", "firstname", "n")
SLUG = "rows"
MS = 20
DRT = Peer("drt-core, rest_api, 100 a call", "drt", ("drt-core==1.2.1",), ("drt", "run"), order=True)


@dataclass(frozen=True)
class Job:
    """``cpu``: that of the command; ``worker``: that of the worker meanwhile; all in seconds."""

    seconds: float
    cpu: float
    worker: float = 0.0
    lost: int = 0


def figures(stand: Stand, sizes: Sizes) -> Iterator[Figure]:
    rows = [(f"u{n}@x.example", f"name {n}", str(n)) for n in range(sizes.rows)]
    ours: list[Job] = []
    drt: list[Job] = []
    with tempfile.TemporaryDirectory() as folder:
        theirs = None if sizes == TINY else _theirs(Path(folder) / "drt", rows)
        embedded = Stand(Path(folder), "", stand.far)
        embedded.connection(SLUG, "hubspot", concurrency=16)
        file = _file(Path(folder), rows)
        workers = _warm(embedded)
        try:
            for number in range(sizes.rounds):
                if theirs is not None:
                    drt.append(_drt(stand.far, theirs, len(rows)))
                ours.append(_import(embedded, workers, file, len(rows), str(number)))
        finally:
            stop(workers)
            embedded.close()
    yield from _figures(ours, drt, len(rows))


def _figures(ours: list[Job], drt: list[Job], rows: int) -> Iterator[Figure]:
    each = 1e6 / rows
    yield Figure(CASE, OURS, "time", "s", tuple(job.seconds for job in ours))
    yield Figure(CASE, OURS, "CPU of the import", "us/event", tuple(job.cpu * each for job in ours))
    yield Figure(CASE, OURS, "CPU of the worker", "us/event", tuple(job.worker * each for job in ours))
    yield Figure(CASE, OURS, "lost", "", tuple(float(job.lost) for job in ours), at_most=0)
    if not drt:
        return
    yield Figure(CASE, DRT.name, "time", "s", tuple(job.seconds for job in drt))
    yield Figure(CASE, DRT.name, "CPU", "us/event", tuple(job.cpu * each for job in drt))
    pairs = list(zip(ours, drt, strict=True))
    times = tuple(mine.seconds / other.seconds for mine, other in pairs)
    costs = tuple((mine.cpu + mine.worker) / other.cpu for mine, other in pairs)
    yield Figure(CASE, OURS, "time x drt", "", times, at_most=1.2)
    yield Figure(CASE, OURS, "CPU x drt", "", costs, at_most=2)


def _import(stand: Stand, workers: list[Process], file: Path, rows: int, run: str) -> Job:
    stand.far.reset(rows, ms=MS)
    pids = [worker.pid for worker in workers]
    before, began = cpu_seconds(pids), time.monotonic()
    arguments = ("--connection", SLUG, "--object", "contact", "--key", "email", "--run", run)
    cpu = _waited(stand.stage.start(*WRITEBACK, "import", str(file), *arguments, name=f"import-{run}"))
    stand.far.wait_done(60)
    seconds = time.monotonic() - began
    time.sleep(SETTLE)  # the last commit, too
    return Job(seconds, cpu, cpu_seconds(pids) - before, stand.far.report().lost)


def _drt(far: FarEnd, project: Stage, rows: int) -> Job:
    far.reset(rows, ms=MS)
    env = {"HOME": str(project.folder / "home"), "URL": far.url, "PYTHONPATH": ""}
    began = time.monotonic()
    cpu = _waited(project.start(str(CACHE / DRT.folder / "bin" / "drt"), "run", name="drt", **env))
    seconds = time.monotonic() - began
    if lost := far.report().lost:
        raise RuntimeError(f"drt left out {lost} rows: {(project.folder / 'drt.out').read_text()}")
    return Job(seconds, cpu)


def _waited(process: Process) -> float:
    """Its CPU, once it has ended."""
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{process.args!r} ended with {process.returncode}")
    return used.ru_utime + used.ru_stime


def _file(folder: Path, rows: Sequence[tuple[str, ...]]) -> Path:
    path = folder / "rows.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *rows])
    return path


def _warm(stand: Stand) -> list[Process]:
    """A worker that has made its first call."""
    stand.far.reset(1, ms=MS)
    stand.emit([batched(SLUG, 0, 1)])
    workers = stand.worker(names.DEFAULT.worker_group)
    assert stand.far.wait_done(60), "the worker did not begin"
    return workers


def _theirs(folder: Path, rows: Sequence[tuple[str, ...]]) -> Stage | None:
    """drt's project with the rows in it; None where it cannot be had."""
    try:
        DRT.install()
    except Unavailable:
        return None
    shutil.copytree(HERE / DRT.folder, folder)
    database = sqlite3.connect(folder / "rows.db")
    with database:
        database.execute("CREATE TABLE contacts (email, firstname, n)")
        database.executemany("INSERT INTO contacts VALUES (?, ?, ?)", rows)
    database.close()
    return Stage(folder)
