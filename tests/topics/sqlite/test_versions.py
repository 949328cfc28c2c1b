"""An older release's file becomes one of this release, once."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import Connection

from topics.names import TopicSpec
from topics.open import open_log
from topics.sqlite import versions


def _add_a_column(connection: Connection) -> None:
    connection.exec_driver_sql("ALTER TABLE topics ADD COLUMN note TEXT")


def _add_and_fail(connection: Connection) -> None:
    _add_a_column(connection)
    connection.exec_driver_sql("ALTER TABLE nothing ADD COLUMN note TEXT")


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """A log of version 1, with a topic in it."""
    path = tmp_path / "log.db"
    log = open_log(f"sqlite:///{path}")
    log.ensure_topics([TopicSpec("kept")])
    log.close()
    return path


def _look(path: Path) -> tuple[int, list[str]]:
    connection = sqlite3.connect(path)
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    columns = [row[1] for row in connection.execute("PRAGMA table_info(topics)")]
    connection.close()
    return version, columns[5:]


def test_an_older_file_is_brought_up_to_date(older: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The steps it has not seen run in order, once, and what it holds stays."""
    monkeypatch.setattr(versions, "STEPS", (_add_a_column,))
    for _ in range(2):
        log = open_log(f"sqlite:///{older}")
        topics = log.topics()
        log.close()

    assert topics == {"kept": 1}
    assert _look(older) == (2, ["note"])


def test_a_step_that_fails_changes_nothing(older: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The step and the version are one transaction."""
    monkeypatch.setattr(versions, "STEPS", (_add_and_fail,))
    log = open_log(f"sqlite:///{older}")
    with pytest.raises(Exception, match="nothing"):
        log.topics()
    log.close()

    assert _look(older) == (1, [])


OPEN = """
import sys
from topics.open import open_log
from topics.sqlite import versions
versions.STEPS = (lambda connection: connection.exec_driver_sql("ALTER TABLE topics ADD COLUMN note TEXT"),)
sys.stdin.readline()
log = open_log(sys.argv[1])
log.topics()
log.close()
"""


def test_processes_open_an_older_file_at_once(older: Path) -> None:
    """Of five that find an older file at the same moment one changes it, and all go on."""
    command = [sys.executable, "-c", OPEN, f"sqlite:///{older}"]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE) for _ in range(5)]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(b"now\n")
        process.stdin.close()

    assert [process.wait(60) for process in processes] == [0] * 5
    assert _look(older) == (2, ["note"])
