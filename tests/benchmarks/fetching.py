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

LOOPS = """
import json, resource, sys, time
from sqlalchemy import MetaData, Table, select
from pq.warehouse.database import Database
from topics.warehouse import open_warehouse, warehouse_url

url, count = sys.argv[1], int(sys.argv[2])
engine = open_warehouse(warehouse_url(url))

def core():
    with engine.connect() as connection:
        table = Table("product", MetaData(), autoload_with=connection)
        yield from connection.execution_options(yield_per=1_000).execute(select(table)).mappings()

def ours():
    return Database("dw", engine).fetch("main", "product")

def few():
    return Database("dw", engine).fetch(query="SELECT * FROM product LIMIT 2000")

def seconds(rows):
    began, total = time.process_time(), 0
    for row in rows():
        total += row["id"]
    if rows is not few and total != count * (count - 1) // 2:
        sys.exit(f"{rows.__name__} has not read every row once")
    return time.process_time() - began

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3

seconds(few)
before = peak()
mine = seconds(ours)
grown = peak() - before
print(json.dumps({"pq": mine, "core": seconds(core), "grown": grown}))
"""


def figures(stand: Stand, sizes: Sizes) -> Iterator[Figure]:
    """``stand`` is not needed: the warehouse is a file of its own."""
    case = f"fetch of {sizes.fetched:,} rows"
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/warehouse.db"
        _fill(url, sizes.fetched)
        rounds = [_loops(url, sizes.fetched) for _ in range(sizes.rounds)]
    core, ours = (tuple(sizes.fetched / one[who] for one in rounds) for who in ("core", "pq"))
    ratios, grown = tuple(one["pq"] / one["core"] for one in rounds), tuple(one["grown"] for one in rounds)
    yield Figure(case, "SQLAlchemy Core, mappings()", "rate", "rows/s of CPU", core)
    yield Figure(case, "pq, fetch", "rate", "rows/s of CPU", ours)
    yield Figure(case, "pq, fetch", "CPU x Core", "", ratios, at_most=1.2)
    yield Figure(case, "pq, fetch", "more memory than for 2,000 rows", "MB", grown, at_most=5)


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


def _loops(url: str, rows: int) -> dict[str, float]:
    """CPU seconds of ``pq`` and ``core``, and by how many MB the peak has ``grown``."""
    path = os.pathsep.join(part for part in sys.path if part)
    done = subprocess.run(
        [sys.executable, "-c", LOOPS, url, str(rows)],
        capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(done.stderr[-1_500:])
    measured: dict[str, float] = json.loads(done.stdout)
    return measured
