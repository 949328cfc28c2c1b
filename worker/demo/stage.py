"""Real processes on a folder of their own: the sandbox SaaS, workers, and ``writeback`` as a person types it.

The demo plays on it, and so do the acceptance tests.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.request import Request, urlopen

from cryptography.fernet import Fernet
from sqlalchemy import MetaData, Table, select, text

from topics.errors import WritebackError
from topics.event.result import Result, unpack
from topics.log import Log, Partition
from topics.names import DEFAULT, Names
from topics.open import open_log
from topics.warehouse import attached, open_warehouse, warehouse_url

WRITEBACK = (sys.executable, "-m", "writeback")
STOP_SECONDS = 30.0


class StageError(WritebackError):
    """A process of the stage did not do its part; the message has its last words."""


class Stage:
    """A folder with a log, a store and the processes that work on them; leaving it ends them all.

    ``log`` and ``store`` are URLs; by default files in the folder.
    """

    def __init__(self, folder: Path, *, log: str = "", store: str = "", env: Mapping[str, str] | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.log_url = log or f"sqlite:///{folder}/log.db"
        self._env = {
            "PATH": os.environ.get("PATH", ""),
            "HOME": os.environ.get("HOME", str(folder)),
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "WRITEBACK_LOG": self.log_url,
            "WRITEBACK_WAREHOUSE": f"sqlite:///{folder}/warehouse.db",
            "WRITEBACK_STORE": store or f"sqlite:///{folder}/store.db",
            "WRITEBACK_SINGLE_HOST": "true",
            "WRITEBACK_SECRET_KEY": Fernet.generate_key().decode(),
            **(env or {}),
        }
        self._processes: list[subprocess.Popen[bytes]] = []
        self._log: Log | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.kill()
                process.wait()
        if self._log is not None:
            self._log.close()

    # -- processes --------------------------------------------------------------------------------------------------

    def start(self, *arguments: str, name: str, **env: str) -> subprocess.Popen[bytes]:
        """A process of its own; what it says goes to ``<name>.out`` and ``<name>.log`` in the folder."""
        with (self.folder / f"{name}.out").open("ab") as out, (self.folder / f"{name}.log").open("ab") as err:
            process = subprocess.Popen(  # noqa: S603 - our own commands
                arguments, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env={**self._env, **env}, cwd=self.folder
            )
        self._processes.append(process)
        return process

    def sandbox(self, *options: str, name: str = "sandbox") -> Sandbox:
        """A sandbox SaaS; returns when it listens."""
        process = self.start(*WRITEBACK, "sandbox", "--json", "--port", "0", *options, name=name)
        out = self.folder / f"{name}.out"
        while process.poll() is None:
            line = out.read_text()
            if line.endswith("\n"):
                return Sandbox(json.loads(line)["url"], process)
            _pause(process)
        raise StageError("the sandbox did not start: " + (self.folder / f"{name}.log").read_text()[-2_000:])

    def worker(self, command: str = "up", *, name: str = "worker", **env: str) -> subprocess.Popen[bytes]:
        return self.start(*WRITEBACK, command, name=name, **env)

    def stop(
        self, process: subprocess.Popen[bytes], number: int = signal.SIGTERM, *, within: float = STOP_SECONDS
    ) -> int:
        """Ask it to stop; its exit code. Raises ``StageError`` when it takes longer than ``within`` seconds."""
        process.send_signal(number)
        try:
            return process.wait(within)
        except subprocess.TimeoutExpired as error:
            raise StageError(f"{process.args!r} did not stop within {within} s") from error

    def writeback(
        self, *arguments: str, stdin: str = "", codes: Sequence[int] = (0,), **env: str
    ) -> subprocess.CompletedProcess[str]:
        """The command line, as a person types it. Raises ``StageError`` on any other exit code."""
        return self.run(*WRITEBACK, *arguments, stdin=stdin, codes=codes, **env)

    def run(
        self, *command: str, stdin: str = "", codes: Sequence[int] = (0,), **env: str
    ) -> subprocess.CompletedProcess[str]:
        done = self.complete(command, stdin, {**self._env, **env})
        if done.returncode not in codes:
            raise StageError(f"{' '.join(command[2:])} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done

    def complete(self, command: Sequence[str], stdin: str, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        """A process of its own in the folder, with this environment and no other; returns when it has ended."""
        return subprocess.run(  # noqa: S603 - our own commands
            command, input=stdin, capture_output=True, text=True, env=dict(env), cwd=self.folder, check=False
        )

    def script(self, text: str, *, name: str) -> subprocess.Popen[bytes]:
        """A user's Python script, running."""
        path = self.folder / f"{name}.py"
        path.write_text(text)
        return self.start(sys.executable, str(path), name=name)

    def json(self, *arguments: str) -> Any:
        return json.loads(self.writeback(*arguments, "--json").stdout)

    # -- what the log says ------------------------------------------------------------------------------------------

    @property
    def log(self) -> Log:
        if self._log is None:
            names = Names(self._env.get("WRITEBACK_PREFIX", DEFAULT.prefix))
            self._log = open_log(self.log_url, names=names)
        return self._log

    def results(self) -> list[Result]:
        """The whole ledger, in order."""
        results = self.log.names.results
        partitions = [Partition(results, number) for number in range(self.log.topics(results).get(results, 0))]
        ends = self.log.end_offsets(partitions)
        found: list[Result] = []
        reader = self.log.reader(dict.fromkeys(partitions, 0))
        while any(reader.position(partition) < end for partition, end in ends.items()):
            for record in reader.poll(5.0):
                found += unpack(record.value)
        reader.close()
        return found

    def warehouse_rows(self, schema: str, table: str) -> list[dict[str, Any]]:
        """A table of the warehouse as it is now."""
        engine = open_warehouse(warehouse_url(self._env["WRITEBACK_WAREHOUSE"]))
        with attached(engine, [schema]) as connection:
            rows = connection.execute(select(text("*")).select_from(Table(table, MetaData(), schema=schema)))
            found = [dict(row) for row in rows.mappings()]
        engine.dispose()
        return found


class Sandbox:
    """One of the applications, and what it really received."""

    def __init__(self, url: str, process: subprocess.Popen[bytes]) -> None:
        self.url = url
        self.process = process

    def state(self) -> Any:
        return self._get("state")

    def ledger(self) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = self._get("ledger")
        return entries

    def faults(self, **faults: Any) -> Any:
        request = Request(f"{self.url}/_sandbox/faults", json.dumps(faults).encode(), method="POST")  # noqa: S310 - loopback
        with urlopen(request) as answer:  # noqa: S310
            return json.load(answer)

    def _get(self, what: str) -> Any:
        with urlopen(f"{self.url}/_sandbox/{what}") as answer:  # noqa: S310
            return json.load(answer)


def _pause(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(0.02)
    except subprocess.TimeoutExpired:
        return
