"""Notices what other processes write into the embedded log: one thread for a file, shared by consumers and readers."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from time import monotonic
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, OperationalError

LOOK_SECONDS = 0.02
"""Seconds between two looks, up to ``LIVELY_SECONDS`` after the last change; later it is ``IDLE_SECONDS``."""
IDLE_SECONDS = 0.05
LIVELY_SECONDS = 5.0
FAILED_SECONDS = 0.5


class ForeignWrites:
    """``changed`` is called when there are new records, or new or deleted topics, also by this process itself."""

    def __init__(self, engine: Engine, changed: Callable[[], None]) -> None:
        self._engine = engine
        self._changed = changed
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="writeback-log-watch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Blocks until the present look is over."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with self._engine.connect() as reading:
                    self._look(reading)
            except DBAPIError:  # not reported here: consumers get the same error, and report it
                self._changed()
                self._stop.wait(FAILED_SECONDS)

    def _look(self, reading: Connection) -> None:
        """Look until stopped. A new version of the file may be a mere heartbeat, so it is checked what has changed."""
        driver: Any = reading.connection.driver_connection
        version, state, lively_until = -1, None, 0.0
        while not self._stop.wait(LOOK_SECONDS if monotonic() < lively_until else IDLE_SECONDS):
            if (found := _version(driver)) == version:
                continue
            version = found
            now = reading.exec_driver_sql("SELECT (SELECT last FROM changes), max(id), count(*) FROM topics").one()
            reading.rollback()
            if now != state:
                state, lively_until = now, monotonic() + LIVELY_SECONDS
                self._changed()


def _version(driver: Any) -> int:
    """The file's version, asked of the driver directly, because it is asked so often."""
    try:
        return int(driver.execute("PRAGMA data_version").fetchone()[0])
    except sqlite3.Error as error:
        raise OperationalError("PRAGMA data_version", {}, error) from error
