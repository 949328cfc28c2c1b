"""A refresher on a log and a store of its own, with a sync that does what a test orders."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from connectors.connections.store import Connection, Connections
from dead_letter.letter.letter import Letter
from dead_letter.letter.letter import decode as decode_letter
from tests.worker.refresher.a_sync import diary
from topics import names
from topics.event.refresh import RefreshRequest, encode
from topics.event.result import Result, unpack
from topics.log import Log, Partition, Record
from topics.store import open_store
from topics.store.orders import Orders
from worker.clock import SystemClock
from worker.refresher.child import ChildRun
from worker.refresher.leases import Leases, Watch
from worker.refresher.refresher import Refresher, RefresherSettings
from worker.refresher.run import Runner
from worker.refresher.runs import Run, Runs

PATIENCE = 60.0
SYNC = (sys.executable, "-m", "tests.worker.refresher.a_sync")
ROOT = Path(__file__).resolve().parents[3]
QUICK = {"refresh": {"quiet": 0.3, "max_wait": 2.0}}


class Dice(SystemClock):
    """A retry comes nearly at once."""

    def roll(self) -> float:
        return 0.01


class Stand:
    """``group``: of its own where a broker is shared."""

    def __init__(self, log: Log, folder: Path, store: str = "", group: str = names.DEFAULT.refresher_group) -> None:
        self.log = log
        self.url = ""
        self.folder = folder
        self.group = group
        log.ensure_topics(names.DEFAULT.system_topics)
        self.store = store or f"sqlite:///{folder}/store.db"
        self.engine: Engine = open_store(self.store)
        self.connections = Connections(self.engine)
        self.orders = Orders(self.engine)
        self.runs = Runs(self.engine)
        self.leases = Leases(self.engine)
        self.producer = log.producer(name="asks")
        self.upgraded: list[str] = []
        self._results_from = self.ends(names.DEFAULT.results)
        self._letters_from = self.ends(names.DEFAULT.dead_letter)

    def close(self) -> None:
        self.producer.close(5.0)
        self.engine.dispose()

    def connect(self, name: str = "Odoo", policy: dict[str, Any] | None = None) -> Connection:
        return self.connections.add(name, "acme", version="1.0", policy=QUICK if policy is None else policy)

    def order(self, *lines: str) -> None:
        with (self.folder / "orders").open("a") as file:
            file.write("".join(f"{line}\n" for line in lines))

    def diary(self, what: str = "began") -> list[dict[str, Any]]:
        return [entry for entry in diary(self.folder) if entry["what"] == what]

    def refresher(
        self, *, holder: str = "test", command: Sequence[str] = SYNC, at_once: int = 4, keep: float | None = None
    ) -> Refresher:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        clock = Dice()

        def upgrade(connection: Connection) -> Connection:
            self.upgraded.append(connection.slug)
            return connection

        return Refresher(
            log=self.log,
            connections=self.connections,
            runner=Runner(
                self.leases,
                self.runs,
                lambda _: ChildRun([*command, str(self.folder)], environment),
                clock,
                holder,
                Watch(),
            ),
            upgrade=upgrade,
            settings=RefresherSettings(group=self.group, at_once=at_once, keep_seconds=keep),
            clock=clock,
            orders=self.orders,
        )

    @asynccontextmanager
    async def running(self, **options: Any) -> AsyncIterator[Refresher]:
        refresher, stop = self.refresher(**options), asyncio.Event()
        task = asyncio.create_task(refresher.run(stop))
        try:
            yield refresher
        finally:
            stop.set()
            await asyncio.wait_for(task, PATIENCE)

    def process(self, module: str, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", f"tests.worker.refresher.{module}", *arguments],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, connection: str = "odoo", **more: Any) -> RefreshRequest:
        request = RefreshRequest(connection=connection, **more)
        self.producer.send(names.DEFAULT.refresh, **encode(request)._asdict()).result(30.0)
        return request

    def ends(self, topic: str) -> dict[Partition, int]:
        places = [Partition(topic, number) for number in range(self.log.topics(topic).get(topic, 0))]
        return self.log.end_offsets(places)

    def records(self, starts: dict[Partition, int]) -> list[Record]:
        ends = self.log.end_offsets(list(starts))
        wanted = sum(end - starts[place] for place, end in ends.items())
        reader = self.log.reader(starts)
        found: list[Record] = []
        while len(found) < wanted:
            found += reader.poll(5.0)
        reader.close()
        return found

    def results(self) -> list[Result]:
        """Of the ledger, what came since the stand stands."""
        return [result for record in self.records(self._results_from) for result in unpack(record.value)]

    def replies(self) -> list[Result]:
        starts = dict.fromkeys(self.ends(names.DEFAULT.replies), 0)
        return [result for record in self.records(starts) for result in unpack(record.value)]

    def letters(self) -> list[Letter]:
        return [decode_letter(record) for record in self.records(self._letters_from)]

    def finished(self, connection: str = "odoo") -> list[Run]:
        """The first one first."""
        return [run for run in reversed(self.runs.list(connection, limit=1_000)) if run.state != "running"]

    def lag(self) -> int:
        return sum(lag.records for lag in self.log.lag(self.group, names.DEFAULT.refresh).values())


async def until(true: Callable[[], object], seconds: float = PATIENCE) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        await asyncio.sleep(0.02)
