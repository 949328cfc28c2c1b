"""All rows of a table beside the snapshot of them: against only reading them, and as a whole run of mode mirror.

``python -m tests.benchmarks.syncs 10000000`` measures a table of that size, once.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from time import process_time

from sqlalchemy import insert, text

from connectors import registry
from connectors.connections.store import Connections
from tests.benchmarks.figures import Figure, number
from tests.benchmarks.sizes import FULL, Sizes
from tests.benchmarks.stand import Stand
from topics.settings import Settings
from topics.store import open_store
from topics.warehouse import open_warehouse, warehouse_url
from worker.clock import SystemClock
from worker.syncs.definition.model import Sync
from worker.syncs.plan.file import PlanFile
from worker.syncs.run.run import Asked, Runner
from worker.syncs.snapshot.blocks import Writer
from worker.syncs.state.syncs import Standing
from worker.syncs.tables import SYNCS

CASE = "sync: nothing has changed"
MIRROR = "sync: a hundredth changed, a hundredth gone, a hundredth new"
COLUMNS = ("id", "email", "name", "score", "city")
SYNC = Sync(
    name="people",
    table="people",
    key=("id",),
    connection="Crm",
    object="contact",
    map={name: (name,) for name in COLUMNS},
)


def figures(_stand: Stand | None, sizes: Sizes) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory(prefix="writeback-bench-") as folder:
        filled(Path(folder), sizes.synced)
        rounds = [_measured("diff", folder) for _ in range(sizes.rounds)]
        changed(Path(folder), sizes.synced)
        mirror = _measured("mirror", folder)
    what = f"diff of {sizes.synced:,} unchanged rows"
    ratios = tuple(one["diff"] / one["read"] for one in rounds)
    note = f"CPU of the diff {rounds[0]['diff']:.2f} s, of reading {rounds[0]['read']:.2f} s"
    yield Figure(CASE, "Writeback", f"{what}, reading = 1", "x", ratios, at_most=1.5, note=note)
    yield Figure(CASE, "Writeback", f"{what}: memory", "MB", tuple(one["mb"] for one in rounds), at_most=100)
    what = f"mirror of {sizes.synced:,} rows"
    note = f"{mirror['sent']:,.0f} events, CPU of the run {mirror['cpu']:.2f} s"
    yield Figure(MIRROR, "Writeback", f"{what}: memory", "MB", (mirror["mb"],), at_most=100, note=note)
    yield Figure(MIRROR, "Writeback", f"{what}: not sent", "", (mirror["missing"],), at_most=0)


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
    writer = Writer(runner.store, SYNC.name, [])
    with runner.store.begin() as connection:
        for line in PlanFile(folder / "plan").lines():
            writer.append(line.changes, line.digest)
            writer.write(connection)
        row = {"name": SYNC.name, "paused": False, "epoch": 0, "version": 1, "rows": rows}
        connection.execute(insert(SYNCS).values(row))
    (folder / "plan").unlink()


def changed(folder: Path, rows: int) -> None:
    """Spread over the whole table, so that every block has some."""
    with open_warehouse(warehouse_url(_runner(folder).settings.warehouse)).begin() as connection:
        connection.execute(text("UPDATE people SET name = name || '!' WHERE id % 100 = 1"))
        connection.execute(text("DELETE FROM people WHERE id % 100 = 2"))
        new = [{"a": n, "b": f"u{n}@acme.com"} for n in range(rows, rows + rows // 100)]
        connection.execute(text("INSERT INTO people VALUES (:a, :b, 'New', 0.5, 'Paris')"), new)


def _measured(what: str, folder: str) -> dict[str, float]:
    """In a process of its own, whose memory is that of the sync."""
    command = [sys.executable, "-m", "tests.benchmarks.syncs", what, folder]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _peak_mb() -> float:
    """Of this process since it began; the one of getrusage begins with what its parent had."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1_024


def _mirror(folder: Path) -> dict[str, float]:
    sync = SYNC.model_copy(update={"mode": "mirror"})
    runner, began = _runner(folder), process_time()
    run = runner.run(sync, Asked("the bench", yes=True)).run
    took = process_time() - began
    megabytes = _peak_mb()
    wanted = 3 * ((run.read + 99) // 100)
    return {"cpu": took, "mb": megabytes, "sent": run.sent, "missing": abs(wanted - run.sent)}


def _diff(folder: Path) -> dict[str, float]:
    runner = _runner(folder)
    with runner.planner(SYNC) as planner:
        began = process_time()
        plan = planner.make(Standing(SYNC.name, rows=1), folder / "plan")
        took = process_time() - began
        assert plan.changes == 0, f"{plan.changes:,} rows have changed"
        megabytes = _peak_mb()
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


def main(given: list[str]) -> None:
    if len(given) == 1:
        for figure in figures(None, replace(FULL, synced=int(given[0]), rounds=1)):
            print(f"{figure.case}: {figure.what}: {number(figure.value)} {figure.unit} ({figure.note})", flush=True)
    else:
        measure = _mirror if given[0] == "mirror" else _diff
        print(json.dumps(measure(Path(given[1]))))


if __name__ == "__main__":
    main(sys.argv[1:])
