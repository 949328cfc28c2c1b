"""What an outbox takes on disk, and how long its relay reads a page of it, while millions of rows go through."""

from __future__ import annotations

import time
from collections.abc import Iterator
from statistics import median

from sqlalchemy import Engine, text

from tests.benchmarks.figures import Figure
from tests.benchmarks.outbox import ROWS, TABLE, TRIGGER, _run
from tests.benchmarks.sizes import Sizes
from tests.benchmarks.stand import Stand
from tests.postgres_server import NoPostgres, running_postgres
from topics.outbox.engine import open_engine
from topics.outbox.outbox import Outbox
from topics.outbox.relaying import OutboxReader
from worker.relay.relay import BATCH
from worker.relay.unchanged import Memory, record_of

SIZES = text(
    "SELECT pg_relation_size(relid) / 1e6 AS heap, pg_indexes_size(relid) / 1e6 AS indexes, n_dead_tup AS dead,"
    " autovacuum_count AS vacuums FROM pg_stat_user_tables WHERE schemaname = 'writeback' AND relname = :name"
)
TODAY = 20_000


def figures(_: Stand, sizes: Sizes) -> Iterator[Figure]:
    """Autovacuum as it comes; the relay's own reading, noting and removing, without a log. Raises ``RuntimeError``."""
    try:
        with running_postgres("-c synchronous_commit=off") as server:
            engine = open_engine(server.url)
            try:
                yield from _through(engine, sizes)
            finally:
                engine.dispose()
    except NoPostgres as error:
        raise RuntimeError(str(error)) from error


def _through(engine: Engine, sizes: Sizes) -> Iterator[Figure]:
    case = f"{sizes.bloat:,} rows through PostgreSQL's outbox"
    _run(engine, TABLE, ROWS.format(sizes.outbox))
    Outbox(engine).create(TRIGGER)
    reader = OutboxReader(engine)
    reader.acquire()
    pages: list[float] = []
    try:
        for passed in range(0, sizes.bloat, sizes.outbox):
            _run(engine, "UPDATE contacts SET n = n + 1")
            while True:
                began = time.perf_counter()
                rows = reader.fetch(BATCH, sent=True)
                if not rows:
                    break
                pages.append(time.perf_counter() - began)
                memory = Memory({record_of(row): row.sent for row in rows if row.sent}, {TRIGGER.name}, TODAY)
                for row in rows:
                    memory.is_new(record_of(row), row, row.payload.encode())
                reader.settle(rows, memory.states(), TODAY)
            with engine.connect() as connection:
                for name in ("outbox", "sent"):
                    size = connection.execute(SIZES, {"name": name}).one()
                    at = f"{name} after {passed + sizes.outbox:,}"
                    yield Figure(case, at, "table", "MB", (float(size.heap),), note=f"{size.vacuums} vacuums")
                    yield Figure(case, at, "indexes", "MB", (float(size.indexes),), note=f"{size.dead:,} dead rows")
    finally:
        reader.close()
    part = max(1, len(pages) // 10)
    first, last = median(pages[:part]), median(pages[-part:])
    yield Figure(case, "a page of the first tenth", "time", "ms", (first * 1_000,))
    yield Figure(case, "a page of the last tenth", "time", "ms", (last * 1_000,))
    yield Figure(case, "the last tenth", "x the first", "", (last / first,))
