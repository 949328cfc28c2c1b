"""A real MariaDB for the tests: ``mariadb_url`` is the URL of a fresh, empty database.

A server of this machine's (Debian: mariadb-server-core, 7 MB), on a free loopback port with its own data, without its
tables of users, which take seconds to make. Without one the tests skip with a line that says what to install; under
``CI=true`` they fail.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import OperationalError

from tests.ports import free_port

MISSING = "no MariaDB here: apt-get install mariadb-server-core"
START_S = 60.0


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[URL]:
    program = shutil.which("mariadbd", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        if os.environ.get("CI") == "true":
            pytest.fail(MISSING, pytrace=False)
        pytest.skip(MISSING)
    folder = Path(tempfile.mkdtemp(prefix="writeback-mariadb-"))
    port = free_port()
    options = {
        "datadir": folder / "data", "socket": folder / "socket", "port": port, "bind-address": "127.0.0.1",
        "skip-networking": 0, "character-set-server": "utf8mb4", "innodb-buffer-pool-size": "16M",
        "innodb-log-file-size": "8M", "innodb-flush-log-at-trx-commit": 0,
    }  # fmt: skip
    (folder / "data").mkdir()
    given = [f"--{name}={value}" for name, value in options.items()] + ["--skip-grant-tables"]
    if os.geteuid() == 0:
        given.append("--user=root")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, "--no-defaults", *given], stdout=log, stderr=log)
    url = URL.create("mysql+pymysql", "root", host="127.0.0.1", port=port)
    try:
        _wait(url, process, folder / "log")
        yield url
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def mariadb_url(mariadb_server: URL) -> str:
    name = f"test_{uuid4().hex}"
    admin = create_engine(mariadb_server)
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    admin.dispose()
    return mariadb_server.set(database=name).render_as_string(hide_password=False)


def _wait(url: URL, process: subprocess.Popen[bytes], log: Path) -> None:
    engine, deadline = create_engine(url), time.monotonic() + START_S
    while True:
        try:
            engine.connect().close()
        except OperationalError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"MariaDB did not start:\n{log.read_text()}") from error
            time.sleep(0.05)
        else:
            engine.dispose()
            return
