"""``fetch`` of the warehouse beside SQLAlchemy Core: a loop over all rows that looks one column up by its name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator

from sqlalchemy import create_engine, text

from tests.benchmarks.figures import Figure
from tests.benchmarks.sizes import Sizes
from tests.benchmarks.stand import Stand

LOOP = """
import json, resource, sys, time
url, count, how = sys.argv[1], int(sys.argv[2]), sys.argv[3]
from topics.warehouse import open_warehouse, warehouse_url
engine = open_warehouse(warehouse_url(url))
if how == "core":
    from sqlalchemy import MetaData, Table, select
    def rows():
        with engine.connect() as connection:
            table = Table("product", MetaData(), autoload_with=connection)
            found = connection.execution_options(yield_per=1_000).execute(select(table).limit(count))
            yield from found.mappings()
else:
    from pq.warehouse.database import Database
    def rows():
        query = "SELECT * FROM product LIMIT :count"
        return Database("dw", engine).fetch("main", "product") if count == TOTAL else Database("dw", engine).fetch(
            query=query, params={"count": count})
began, cpu, total = time.perf_counter(), time.process_time(), 0
for row in rows():
    total += row["id"]
print(json.dumps({"seconds": time.perf_counter() - began, "cpu": time.process_time() - cpu,
                  "mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3, "total": total}))
"""


def figures(stand: Stand, sizes: Sizes) -> Iterator[Figure]:
    """``stand`` is not needed: the warehouse is a file of its own."""
    case = f"fetch of {sizes.fetched:,} rows"
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/warehouse.db"
        _fill(url, sizes.fetched)
        core, ours, ratios, grown = [], [], [], []
        for _ in range(sizes.rounds):
            theirs, mine = (_loop(url, sizes.fetched, how, sizes.fetched) for how in ("core", "pq"))
            few = _loop(url, sizes.fetched // 100, "pq", sizes.fetched)
            core.append(sizes.fetched / theirs["cpu"])
            ours.append(sizes.fetched / mine["cpu"])
            ratios.append(mine["cpu"] / theirs["cpu"])
            grown.append(mine["mb"] - few["mb"])
    yield Figure(case, "SQLAlchemy Core, mappings()", "rate", "rows/s of CPU", tuple(core))
    yield Figure(case, "pq, fetch", "rate", "rows/s of CPU", tuple(ours))
    yield Figure(case, "pq, fetch", "CPU x Core", "", tuple(ratios), at_most=1.2)
    yield Figure(case, "pq, fetch", "more memory than for a hundredth", "MB", tuple(grown), at_most=5)


def _fill(url: str, rows: int) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE product (id BIGINT PRIMARY KEY, name TEXT, price DOUBLE, sku TEXT)"))
        made = [
            {"id": number, "name": f"Product {number}", "price": number / 4, "sku": f"S{number}"}
            for number in range(rows)
        ]
        for start in range(0, rows, 50_000):
            connection.execute(
                text("INSERT INTO product VALUES (:id, :name, :price, :sku)"), made[start : start + 50_000]
            )
    engine.dispose()


def _loop(url: str, count: int, how: str, rows: int) -> dict[str, float]:
    path = os.pathsep.join(part for part in sys.path if part)
    done = subprocess.run(
        [sys.executable, "-c", LOOP.replace("TOTAL", str(rows)), url, str(count), how],
        capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(done.stderr[-1_500:])
    measured: dict[str, float] = json.loads(done.stdout)
    if measured["total"] != count * (count - 1) // 2:
        raise RuntimeError(f"{how} has not read every row once: {measured}")
    return measured
