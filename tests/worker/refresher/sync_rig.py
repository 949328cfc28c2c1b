"""A connection to a sandbox, a warehouse, and the real sync as a process: what the tests of the sync stand on."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from connectors.connections.store import Connections
from pq.warehouse.database import Database
from topics.store import open_store
from topics.warehouse import open_warehouse, warehouse_url
from worker.refresher.job import Job, Progress, Report, Result, parse_line

T = TypeVar("T")

ROOT = Path(__file__).parents[3]
SECRET_KEY = "a-key-for-tests-long-enough"


@dataclass
class Rig:
    folder: Path
    warehouse: str
    environment: dict[str, str] = field(default_factory=dict)
    prefix: Sequence[str] = ()
    progress: list[Progress] = field(default_factory=list)
    stderr: str = ""

    def connect(
        self, name: str, connector: str, settings: Mapping[str, Any], limits: Mapping[str, Any] | None = None
    ) -> None:
        engine = open_store(self.store)
        secrets = {"access_token": "good"} if connector in {"hubspot", "salesforce"} else {}
        Connections(engine, SECRET_KEY).add(
            name, connector, settings={"allow_private_addresses": True, **settings}, secrets=secrets, limits=limits
        )
        engine.dispose()

    @property
    def store(self) -> str:
        return f"sqlite:///{self.folder}/store.db"

    def start(self, job: Job) -> subprocess.Popen[str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("WRITEBACK_")}
        environment |= {
            "PYTHONPATH": str(ROOT),
            "WRITEBACK_STORE": self.store,
            "WRITEBACK_WAREHOUSE": self.warehouse,
            "WRITEBACK_SECRET_KEY": SECRET_KEY,
            "WRITEBACK_SYNC_FOLDER": f"{self.folder}/sync",
            **self.environment,
        }
        process = subprocess.Popen(
            [*self.prefix, sys.executable, "-m", "worker.refresher.sync"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, cwd=self.folder, env=environment,
        )  # fmt: skip
        assert process.stdin is not None
        process.stdin.write(job.line())
        process.stdin.flush()
        return process

    def finish(self, process: subprocess.Popen[str]) -> Result:
        out, self.stderr = process.communicate(timeout=110)
        said = [parse_line(line) for line in out.splitlines()]
        self.progress = [line for line in said if isinstance(line, Progress)]
        report = said[-1] if said else None
        assert isinstance(report, Report), self.stderr
        assert process.returncode == (0 if report.result.status == "ok" else 1)
        return report.result

    def sync(self, connection: str, *objects: str, full: bool = False) -> Result:
        job = Job(connection=connection, objects=list(objects) or None, full=full, run="test")
        return self.finish(self.start(job))

    def rows(self, schema: str, table: str) -> list[dict[str, Any]]:
        """What a script finds there, without what dlt and the sync keep beside it."""
        found = self.ask(lambda database: list(database.fetch(schema, table)))
        return [{name: value for name, value in row.items() if not name.startswith("_")} for row in found]

    def ask(self, question: Callable[[Database], T]) -> T:
        database = Database("dw", open_warehouse(warehouse_url(self.warehouse)))
        try:
            return question(database)
        finally:
            database.close()
