"""A sync that finds nothing to send: all rows of a table beside the snapshot of them, against only reading them."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import process_time

from sqlalchemy import insert, text

from connectors import registry
from connectors.connections.store import Connections
from tests.benchmarks.figures import Figure
from tests.benchmarks.sizes import Sizes
from tests.benchmarks.stand import Stand
from topics.settings import Settings
from topics.store import open_store
from topics.warehouse import open_warehouse, warehouse_url
from worker.clock import SystemClock
from worker.syncs.definition.model import Sync
from worker.syncs.plan.file import PlanFile
from worker.syncs.run.run import Runner
from worker.syncs.snapshot.blocks import Writer
from worker.syncs.state.syncs import Standing
from worker.syncs.tables import SYNCS

CASE = "sync: nothing has changed"
COLUMNS = ("id", "email", "name", "score", "city")
SYNC = Sync(
    name="people",
    table="people",
    key=("id",),
    connection="Crm",
    object="contact",
    map={name: (name,) for name in COLUMNS},
)


def figures(_stand: Stand, sizes: Sizes) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory(prefix="writeback-bench-") as folder:
        filled(Path(folder), sizes.synced)
        rounds = [_measured(folder) for _ in range(sizes.rounds)]
    what = f"diff of {sizes.synced:,} unchanged rows"
    ratios = tuple(one["diff"] / one["read"] for one in rounds)
    note = f"CPU of the diff {rounds[0]['diff']:.2f} s, of reading {rounds[0]['read']:.2f} s"
    yield Figure(CASE, "Writeback", f"{what}, reading = 1", "x", ratios, at_most=1.5, note=note)
    yield Figure(CASE, "Writeback", f"{what}: memory", "MB", tuple(one["mb"] for one in rounds), at_most=100)


def filled(folder: Path, rows: int) -> None:
    """A table, and a snapshot that has all of it, as a run would have left it; nothing is sent."""
    runner = _runner(folder)
    with open_warehouse(warehouse_url(runner.settings.warehouse)).begin() as connection:
        connection.execute(
            text("CREATE TABLE people (id INTEGER PRIMARY KEY, email TEXT, name TEXT, score REAL, city TEXT)")
        )
        for start in range(0, rows, 10_000):
            values = [
                {"a": n, "b": f"u{n}@acme.com", "c": f"Name {n}", "d": n * 0.5}
                for n in range(start, min(rows, start + 10_000))
            ]
            connection.execute(text("INSERT INTO people VALUES (:a, :b, :c, :d, 'Paris')"), values)
    Connections(runner.store, runner.settings.secret_key, check=registry.check).add(
        "Crm", "hubspot", secrets={"access_token": "t"}
    )
    with runner.planner(SYNC) as planner:
        planner.make(Standing(SYNC.name), folder / "plan")
    writer = Writer(SYNC.name, [])
    with runner.store.begin() as connection:
        for line in PlanFile(folder / "plan").lines():
            writer.append(connection, line.changes, line.digest)
        row = {"name": SYNC.name, "paused": False, "epoch": 0, "version": 1, "rows": rows}
        connection.execute(insert(SYNCS).values(row))
    (folder / "plan").unlink()


def _measured(folder: str) -> dict[str, float]:
    """In a process of its own, whose memory is that of the diff."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.syncs", folder], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _measure(folder: Path) -> dict[str, float]:
    runner = _runner(folder)
    with runner.planner(SYNC) as planner:
        began = process_time()
        plan = planner.make(Standing(SYNC.name, rows=1), folder / "plan")
        took = process_time() - began
        assert plan.changes == 0, f"{plan.changes:,} rows have changed"
        megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_024
        began = process_time()
        source = planner.source
        statement = source.rows.select(source.shape.columns, SYNC.key)
        read = sum(map(len, source.warehouse.chunks(source.rows, statement)))
        assert read == plan.counts.read
        return {"diff": took, "read": process_time() - began, "mb": megabytes}


def _runner(folder: Path) -> Runner:
    settings = Settings(
        log=f"sqlite:///{folder}/log.db",
        store=f"sqlite:///{folder}/store.db",
        warehouse=f"sqlite:///{folder}/warehouse.db",
        secret_key="a long random text for the bench",
    )
    return Runner(settings, open_store(settings.store), settings.open_log(), SystemClock())


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_measure(Path(sys.argv[1]))))
