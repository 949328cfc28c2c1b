"""A real ERP at the destination: Tryton, in its own environment and process, spoken to over its REST API only.

The first use on a machine installs it into a cache folder and prepares a SQLite database there; each ``Erp`` then
starts on a copy of that database in less than a second. Tryton is GPL: nothing of ours imports it.
"""

from __future__ import annotations

import base64
import fcntl
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.kafka_broker import SUPERVISOR
from tests.ports import free_port

REQUIREMENTS = ("trytond==8.2.1", "trytond-party==8.2.0")
CACHE = Path.home() / ".cache" / "writeback" / "-".join(requirement.replace("==", "-") for requirement in REQUIREMENTS)
DATABASE = "erp"
PARTIES = "/rest/model/party.party"
START_SECONDS = 60.0
PASSWORD = "only-for-tests"


class NoErp(Exception):
    """Tryton cannot be had on this machine; the message says why."""


class Erp:
    """A running Tryton with no parties yet."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""
        self.key = ""
        """The application key that ``Authorization: Bearer`` takes."""

    def start(self) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}/{DATABASE}"
        configuration = _configure(self._folder, port)
        server = [str(CACHE / "venv/bin/trytond"), "-c", str(configuration), "-d", DATABASE]
        with (self._folder / "server.log").open("wb") as log:
            self._process = subprocess.Popen(
                ["sh", "-c", SUPERVISOR, "sh", *server], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=log
            )
        self._await_answer()

    def _await_answer(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            try:
                httpx.get(f"{self.url}{PARTIES}", timeout=5)
            except httpx.TransportError:
                time.sleep(0.1)
            else:
                return
        said = self.log()[-2_000:]
        self.stop()
        raise NoErp(f"Tryton did not answer within {START_SECONDS:.0f} s; it said:\n{said}")

    def stop(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            self._process.wait(30)
            self._process = None

    def log(self) -> str:
        return (self._folder / "server.log").read_text(encoding="utf-8", errors="replace")

    def call(self, method: str, path: str, body: Any = None) -> httpx.Response:
        """One REST call under the application key."""
        headers = {"Authorization": f"Bearer {self.key}"}
        return httpx.request(method, self.url + path, json=body, headers=headers, timeout=30)

    def parties(self) -> dict[str, str]:
        """Every party: code to name."""
        return {party["code"]: party["name"] for party in self._read("name")}

    def numbers(self) -> dict[str, int]:
        """Every party: code to the number under which the ERP keeps it."""
        return {party["code"]: party["id"] for party in self._read("id")}

    def _read(self, field: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.call("GET", f"{PARTIES}?f=code&f={field}").raise_for_status().json()
        return found


@contextmanager
def running_erp() -> Iterator[Erp]:
    """A fresh ERP on a copy of the prepared database, stopped at the end. Raises ``NoErp``."""
    prepared = _prepared()
    with tempfile.TemporaryDirectory(prefix="writeback-erp-") as folder:
        shutil.copy(prepared / "erp.sqlite", folder)
        erp = Erp(Path(folder))
        erp.key = (prepared / "key").read_text()
        erp.start()
        try:
            yield erp
        finally:
            erp.stop()


@pytest.fixture
def erp() -> Iterator[Erp]:
    """A real ERP; where none can be had the test skips with the reason, and under CI=true it fails."""
    with ExitStack() as stack:
        try:
            running = stack.enter_context(running_erp())
        except NoErp as none:
            give_up = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
            give_up(str(none))
        yield running


def _prepared() -> Path:
    """The folder with the environment, the database and its key, made at the first call on a machine."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (CACHE / "key").exists():
            _install()
            _make_database()
            (CACHE / "key.new").write_text(_make_key())
            _fold_in_the_journal(CACHE / "erp.sqlite")
            (CACHE / "key.new").rename(CACHE / "key")  # last: its presence says that all of it is there
    return CACHE


def _install() -> None:
    shutil.rmtree(CACHE / "venv", ignore_errors=True)
    _run(sys.executable, "-m", "venv", str(CACHE / "venv"))
    _run(str(CACHE / "venv/bin/python"), "-m", "pip", "install", "--quiet", *REQUIREMENTS)


def _make_database() -> None:
    (CACHE / "erp.sqlite").unlink(missing_ok=True)
    (CACHE / "erp.sqlite").touch()
    (CACHE / "password").write_text(PASSWORD)
    admin = [str(CACHE / "venv/bin/trytond-admin"), "-c", str(_configure(CACHE, 0)), "-d", DATABASE]
    _run(*admin, "--all", "--email", "admin@example.org", "-p", TRYTONPASSFILE=str(CACHE / "password"))
    _run(*admin, "-u", "party", "--activate-dependencies")


def _make_key() -> str:
    """An application asks for a key, and the administrator grants it: the flow that Tryton's users go through."""
    erp = Erp(CACHE)
    erp.start()
    try:
        asked = httpx.post(f"{erp.url}/r/user/application/", json={"user": "admin", "application": "rest"}, timeout=30)
        asked.raise_for_status()
        session = _login(erp)
        (application,) = _rpc(erp, session, "model.res.user.application.search", [["state", "=", "requested"]])
        _rpc(erp, session, "model.res.user.application.validate_", [application])
    finally:
        erp.stop()
    return str(asked.json())


def _login(erp: Erp) -> dict[str, str]:
    body = {"id": 1, "method": "common.db.login", "params": ["admin", {"password": PASSWORD}, "en"]}
    answer = httpx.post(f"{erp.url}/rpc/", json=body, timeout=30)
    answer.raise_for_status()
    user, session, *_ = answer.json()["result"]
    token = base64.b64encode(f"admin:{user}:{session}".encode()).decode()
    return {"Authorization": f"Session {token}"}


def _rpc(erp: Erp, session: dict[str, str], method: str, *params: Any) -> Any:
    body = {"id": 1, "method": method, "params": [*params, {}]}
    if method.endswith(".search"):
        body["params"] = [*params, 0, None, None, {}]
    answer = httpx.post(f"{erp.url}/rpc/", json=body, headers=session, timeout=30).raise_for_status().json()
    if "error" in answer:
        raise NoErp(f"Tryton refused {method}: {answer['error']}")
    return answer["result"]


def _fold_in_the_journal(database: Path) -> None:
    """A server that was told to stop leaves its last writes in SQLite's journal; a copy takes the one file."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _configure(folder: Path, port: int) -> Path:
    """Tryton's own configuration file for a database in this folder."""
    path = folder / "trytond.conf"
    path.write_text(f"[database]\nuri = sqlite://\npath = {folder}\n[web]\nlisten = 127.0.0.1:{port}\n")
    return path


def _run(*command: str, **environment: str) -> None:
    done = subprocess.run(
        command,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise NoErp(f"no Tryton on this machine: {' '.join(command[:6])} ... failed:\n{done.stdout[-2_000:]}")
