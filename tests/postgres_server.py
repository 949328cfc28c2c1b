"""A real PostgreSQL for the tests: ``postgres_url`` is the URL of a fresh, empty database.

From ``WRITEBACK_TEST_POSTGRES_URL`` when that is set (a role that may create databases); else a server of this
machine's PostgreSQL, on a free loopback port with its own data folder, stopped at the end. Without one the tests skip
with a line that says what to install; under ``CI=true`` they fail.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.engine import URL

MISSING = "no PostgreSQL here: apt-get install postgresql, or set WRITEBACK_TEST_POSTGRES_URL"
ROLE = "writeback"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[URL]:
    """The server's own database, in which nothing is put."""
    given = os.environ.get("WRITEBACK_TEST_POSTGRES_URL")
    if given:
        yield make_url(given).set(drivername="postgresql+psycopg")
        return
    binaries = _binaries()
    if binaries is None:
        if os.environ.get("CI") == "true":
            pytest.fail(MISSING, pytrace=False)
        pytest.skip(MISSING)
    folder = Path(tempfile.mkdtemp(prefix="writeback-postgres-"))
    try:
        yield from _run(binaries, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


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


def _run(binaries: Path, folder: Path) -> Iterator[URL]:
    user = _unprivileged()
    if user is not None:
        shutil.chown(folder, user)
    data, port = folder / "data", _free_port()

    def call(*command: str) -> None:
        done = subprocess.run(command, user=user, cwd=folder, stdout=subprocess.DEVNULL, stderr=errors, check=False)
        if done.returncode != 0:
            log = folder / "log"
            said = (folder / "errors").read_text() + (log.read_text() if log.exists() else "")
            pytest.fail(f"PostgreSQL: {' '.join(command[:4])} failed:\n{said}", pytrace=False)

    with (folder / "errors").open("w") as errors:
        call(f"{binaries}/initdb", "-D", str(data), "-U", ROLE, "--auth=trust", "-E", "UTF8", "--locale=C", "-N")
        options = f"-h 127.0.0.1 -p {port} -k {folder} -c fsync=off -c max_connections=100"
        control = (f"{binaries}/pg_ctl", "-D", str(data), "-w", "-t", "60", "-l", str(folder / "log"))
        call(*control, "-o", options, "start")
        try:
            yield URL.create("postgresql+psycopg", ROLE, host="127.0.0.1", port=port, database="postgres")
        finally:
            call(*control, "-m", "immediate", "stop")


def _unprivileged() -> str | None:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
