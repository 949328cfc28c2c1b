"""A real PostgreSQL for the tests: ``postgres_url`` is the URL of a fresh, empty database.

From ``WRITEBACK_TEST_POSTGRES_URL`` when that is set (a role that may create databases); else a server of this
machine's PostgreSQL, on a free loopback port with its own data folder, stopped at the end. Without one the tests skip
with a line that says what to install; under ``CI=true`` they fail.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.engine import URL

from tests.ports import free_port

MISSING = "no PostgreSQL here: apt-get install postgresql, or set WRITEBACK_TEST_POSTGRES_URL"
ROLE = "writeback"


class NoPostgres(Exception):
    """None can be had here; or it did not start, and the message has what it said."""


class Server:
    """One of this machine's PostgreSQL, with its own data. ``options``: as ``pg_ctl -o`` takes them."""

    def __init__(self, folder: Path, options: str = "") -> None:
        """Raises ``NoPostgres``."""
        binaries = _binaries()
        if binaries is None:
            raise NoPostgres(MISSING)
        self._folder, self._port, self._user = folder, free_port(), _unprivileged()
        self._ctl = (f"{binaries}/pg_ctl", "-D", str(folder / "data"), "-w", "-t", "60", "-l", str(folder / "log"))
        self._options = f"-h 127.0.0.1 -p {self._port} -k {folder} -c fsync=off -c max_connections=100 {options}"
        if self._user is not None:
            shutil.chown(folder, self._user)
        self._call(
            f"{binaries}/initdb",
            "-D",
            str(folder / "data"),
            "-U",
            ROLE,
            "--auth=trust",
            "-E",
            "UTF8",
            "--locale=C",
            "-N",
        )

    @property
    def url(self) -> URL:
        """The server's own database, in which nothing is put."""
        return URL.create("postgresql+psycopg", ROLE, host="127.0.0.1", port=self._port, database="postgres")

    def start(self) -> None:
        self._call(*self._ctl, "-o", self._options, "start")

    def stop(self) -> None:
        """Its connections break; what was committed is there after a start."""
        self._call(*self._ctl, "-m", "immediate", "stop")

    def _call(self, *command: str) -> None:
        with (self._folder / "errors").open("w") as errors:
            done = subprocess.run(
                command, user=self._user, cwd=self._folder, stdout=subprocess.DEVNULL, stderr=errors, check=False
            )
        if done.returncode != 0:
            log = self._folder / "log"
            said = (self._folder / "errors").read_text() + (log.read_text() if log.exists() else "")
            raise NoPostgres(f"PostgreSQL: {' '.join(command[:4])} failed:\n{said}")


@contextmanager
def running_postgres(options: str = "") -> Iterator[Server]:
    """Started, and gone at the end with its data. Raises ``NoPostgres``."""
    folder = Path(tempfile.mkdtemp(prefix="writeback-postgres-"))
    try:
        server = Server(folder, options)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[URL]:
    """The server's own database, in which nothing is put."""
    given = os.environ.get("WRITEBACK_TEST_POSTGRES_URL")
    if given:
        yield make_url(given).set(drivername="postgresql+psycopg")
        return
    if _binaries() is None:
        if os.environ.get("CI") == "true":
            pytest.fail(MISSING, pytrace=False)
        pytest.skip(MISSING)
    with running_postgres() as server:
        yield server.url


@pytest.fixture
def postgres_url(postgres_server: URL) -> Iterator[str]:
    name = f"test_{uuid4().hex}"
    admin = create_engine(postgres_server, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield postgres_server.set(database=name).render_as_string(hide_password=False)
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


def _binaries() -> Path | None:
    """The folder with ``initdb`` and ``pg_ctl``: Debian keeps them out of the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[4]))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    return Path(on_path).resolve().parent if on_path else None


def _unprivileged() -> str | None:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"
