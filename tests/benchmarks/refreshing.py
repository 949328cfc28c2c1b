"""A refresh: when it begins, what its decisions cost, and what it takes beside the same pipeline run by dlt alone."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from connectors.connections.store import Connections
from tests.benchmarks.figures import Figure
from tests.benchmarks.sizes import Sizes
from tests.benchmarks.stand import Stand, stop
from tests.postgres_server import NoPostgres, running_postgres
from topics import names
from topics.event.refresh import RefreshRequest, encode
from topics.store import open_store
from worker.demo.stage import WRITEBACK
from worker.refresher.debounce import Debouncer, Scope
from worker.refresher.job import Job, Report, parse_line
from worker.refresher.runs import Runs

CONNECTIONS = 10_000
PAGE = 1_000
KEY = "a long random text for the bench"
DLT = Path(__file__).with_name("dlt_alone.py")


def debouncing(stand: Stand, sizes: Sizes) -> Iterator[Figure]:
    seconds = tuple(_debounce(sizes.asked) for _ in range(sizes.rounds))
    note = f"{sizes.asked:,} requests over {CONNECTIONS:,} connections, every run started and ended"
    yield Figure("debouncer", "writeback refresher", "CPU", "s", seconds, at_most=2.0, note=note)
    waits = tuple(_waits(stand, sizes))
    note = f"beyond the {sizes.quiet:g} s of quiet that the connection asks for"
    yield Figure("request to run", "writeback refresher", "longest wait", "ms", (max(waits),), at_most=200, note=note)


def _debounce(asked: int) -> float:
    debouncer: Debouncer[int] = Debouncer()
    began = time.process_time()
    for number in range(asked):
        scope = Scope(frozenset({f"object-{number % 7}"}))
        debouncer.ask(f"connection-{number % CONNECTIONS}", number, scope, number / asked)
    while (now := debouncer.next_deadline()) is not None:
        while (connection := debouncer.due(now)) is not None:
            debouncer.ended(debouncer.start(connection))
    return time.process_time() - began


def _waits(stand: Stand, sizes: Sizes) -> Iterator[float]:
    """From the last of several requests to the start of the run, less the quiet, in ms."""
    policy = {"refresh": {"quiet": sizes.quiet, "call": {"tool": "command", "command": "true"}}}
    stand.connections().add("asked", "http", settings={"base_url": stand.far.url}, policy=policy)
    runs = Runs(open_store(stand.stage._env["WRITEBACK_STORE"]))
    producer = stand.log.producer()
    process = stand.stage.start(*WRITEBACK, "refresher", name="refresher")
    try:
        for number in range(sizes.rounds + 1):
            for _ in range(3):
                request = RefreshRequest(connection="asked")
                producer.send(names.DEFAULT.refresh, **encode(request)._asdict()).result(30)
            asked = time.time()
            until = time.monotonic() + 60
            while not (found := [run for run in runs.list("asked", state="ok") if run.started > asked]):
                if process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError("the refresher did not run it")
                time.sleep(0.05)
            if number:  # the first one waits for the refresher to be there
                yield 1_000 * (found[0].started - asked - sizes.quiet)
    finally:
        producer.close()
        stop([process])


def refreshing(stand: Stand, sizes: Sizes) -> Iterator[Figure]:
    """``stand`` is not needed: everything is in a folder of its own."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = stack.enter_context(_serving(sizes.refreshed))
        try:
            server = stack.enter_context(running_postgres()).url.render_as_string(hide_password=False)
        except NoPostgres as error:
            server, missing = "", str(error)
        warehouses = {"SQLite": "", **({"PostgreSQL": server} if server else {})}
        for kind, address in warehouses.items():
            case = f"refresh of {sizes.refreshed:,} rows into {kind}"
            alone, ours = [], []
            for number in range(sizes.rounds):
                place = folder / f"{kind}-{number}"
                alone.append(_dlt(place / "dlt", url, _fresh(address, place / "dlt"), sizes.refreshed))
                ours.append(_ours(place / "ours", url, _fresh(address, place / "ours"), sizes.refreshed))
            for who, spent in (("dlt alone", alone), ("writeback refresh", ours)):
                yield Figure(case, who, "time", "s", tuple(one.seconds for one in spent))
                yield Figure(case, who, "CPU", "s", tuple(one.cpu for one in spent))
            pairs = list(zip(ours, alone, strict=True))
            ratios = tuple(mine.seconds / theirs.seconds for mine, theirs in pairs)
            yield Figure(case, "writeback refresh", "x dlt alone", "", ratios, at_most=1.15)
            of_cpu = tuple(mine.cpu / theirs.cpu for mine, theirs in pairs)
            yield Figure(case, "writeback refresh", "CPU x dlt alone", "", of_cpu)
        if not server:
            yield Figure("refresh into PostgreSQL", "writeback refresh", "not measured", "", (0.0,), note=missing)


def _fresh(server: str, folder: Path) -> str:
    """A warehouse in which nothing is: a file in the folder, or a database of the server."""
    folder.mkdir(parents=True)
    if not server:
        return f"sqlite:///{folder}/warehouse.db"
    from sqlalchemy import create_engine, make_url, text  # noqa: PLC0415

    name = f"bench_{time.time_ns()}"
    admin = create_engine(server, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    admin.dispose()
    return make_url(server).set(database=name).render_as_string(hide_password=False)


def _dlt(folder: Path, url: str, warehouse: str, rows: int) -> Spent:
    return _timed([sys.executable, str(DLT), url, warehouse, str(folder), str(PAGE)], "", {}, rows)


def _ours(folder: Path, url: str, warehouse: str, rows: int) -> Spent:
    engine = open_store(f"sqlite:///{folder}/store.db")
    paged = {"path": "/rows", "params": {"offset": "$bookmark?"}, "pages": "offset", "page_size": PAGE}
    settings = {
        "base_url": url,
        "allow_private_addresses": True,
        "resources": {"rows": {"types": TYPES, "all": {**paged, "records": "items"}}},
    }
    Connections(engine, KEY).add("bench", "http", settings=settings)
    engine.dispose()
    environment = {
        "WRITEBACK_STORE": f"sqlite:///{folder}/store.db",
        "WRITEBACK_WAREHOUSE": warehouse,
        "WRITEBACK_SECRET_KEY": KEY,
        "WRITEBACK_SYNC_FOLDER": f"{folder}/sync",
    }
    job = Job(connection="bench", run="bench").line()
    return _timed([sys.executable, "-m", "worker.refresher.sync"], job, environment, rows)


class Spent(NamedTuple):
    """Seconds, from the start of the process to its end."""

    seconds: float
    cpu: float


def _timed(command: list[str], stdin: str, environment: dict[str, str], rows: int) -> Spent:
    began, before = time.perf_counter(), _cpu_of_children()
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("WRITEBACK_")}
    path = os.pathsep.join(part for part in sys.path if part)
    done = subprocess.run(
        command, input=stdin, capture_output=True, text=True, check=False,
        env={**inherited, "PYTHONPATH": path, **environment},
    )  # fmt: skip
    spent = Spent(time.perf_counter() - began, _cpu_of_children() - before)
    said = parse_line(done.stdout.splitlines()[-1]) if done.stdout else None
    if not isinstance(said, Report) or said.result.rows != {"rows": rows}:
        raise RuntimeError(f"{command[1:3]} did not load {rows:,} rows: {done.stdout[-500:]}{done.stderr[-1_500:]}")
    return spent


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


TYPES = {"id": "bigint", "price": "double", "active": "bool", "changed": "timestamp"}


@contextmanager
def _serving(rows: int) -> Iterator[str]:
    """Pages that are made before anybody asks, so that answering costs little."""
    pages = [_page(start, min(PAGE, rows - start)) for start in range(0, rows, PAGE)]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            number = int(parse_qs(urlsplit(self.path).query).get("offset", ["0"])[0]) // PAGE
            body = pages[number] if number < len(pages) else b'{"items":[]}'
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def _page(start: int, count: int) -> bytes:
    items = [
        {
            "id": number,
            "name": f"Product number {number}",
            "sku": f"SKU-{number:08}",
            "price": number / 4,
            "active": number % 3 == 0,
            "changed": f"2026-01-{1 + number % 28:02}T12:00:00Z",
        }
        for number in range(start, start + count)
    ]
    return json.dumps({"items": items}).encode()
