"""One thread that writes for all threads of a process, many records in a transaction (group commit).

While one transaction waits for the disk, the next one fills up, so the rate does not depend on the disk's latency. Once
a minute the thread also deletes the records that are past their topic's retention, and gives the space back.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from topics.errors import LogUnavailable, WritebackError
from topics.log import Position
from topics.sqlite.errors import explain
from topics.sqlite.records import Append, Appender, delete_expired, delete_leftovers
from topics.sqlite.schema import begin, connect_to_write, empty_wal
from topics.sqlite.space import give_back

T = TypeVar("T")

BATCH_RECORDS = 2_000
BATCH_BYTES = 16 * 1_048_576
BUFFER_RECORDS = 100_000
BUFFER_BYTES = 64 * 1_048_576
BUFFER_SECONDS = 60.0
HOUSEKEEPING_SECONDS = 60.0
MORE_SECONDS = 0.1
WAL_BYTES = 64 * 1_048_576
WAL_SECONDS = 1.0


class _Job:
    """Something other than an append that is done in the transaction."""

    __slots__ = ("future", "run", "size")

    def __init__(self, run: Callable[[Connection], Any]) -> None:
        self.run = run
        self.size = 0
        self.future: Future[Any] = Future()


class Writer:
    """``verify`` is called before every transaction, which fails with what it raises; ``changed`` after it."""

    def __init__(self, engine: Engine, path: Path, changed: Callable[[], None], verify: Callable[[], None]) -> None:
        self._engine = engine
        self._path = path
        self._changed = changed
        self._verify = verify
        self._appender = Appender()
        self._queue: deque[Append | _Job] = deque()
        self._bytes = 0
        self._lock = threading.Lock()
        self._filled = threading.Condition(self._lock)
        self._drained = threading.Condition(self._lock)
        self._wal = path.with_name(path.name + "-wal")
        self._next_look = 0.0
        self._closing = False
        self._connection: Connection | None = None
        self._thread: threading.Thread | None = None

    def append(self, append: Append) -> None:
        """Blocks while the buffer is full. Raises ``LogUnavailable`` after ``BUFFER_SECONDS``, or when closed."""
        with self._lock:
            if self._bytes >= BUFFER_BYTES or len(self._queue) >= BUFFER_RECORDS:
                self._wait_for_room()
            self._put(append)

    def submit(self, run: Callable[[Connection], T]) -> Future[T]:
        """Run a function in a transaction. The future has its result, or its error, once the transaction is durable.

        The transaction is shared with others, so a function may raise ``WritebackError`` only before it writes.
        """
        job = _Job(run)
        with self._lock:
            self._put(job)
        return job.future

    def close(self) -> None:
        """Write what is queued, and end the thread. Safe to call twice."""
        with self._lock:
            self._closing = True
            self._filled.notify()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def _put(self, item: Append | _Job) -> None:
        if self._closing:
            raise LogUnavailable(f"the log {self._path} is closed in this process")
        self._queue.append(item)
        self._bytes += item.size
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="writeback-log-writer", daemon=True)
            self._thread.start()
        elif len(self._queue) == 1:
            self._filled.notify()

    def _wait_for_room(self) -> None:
        def room() -> bool:
            return self._closing or (self._bytes < BUFFER_BYTES and len(self._queue) < BUFFER_RECORDS)

        if threading.current_thread() is self._thread:
            return  # called by a future's callback: the writer itself must not wait for room
        if not self._drained.wait_for(room, BUFFER_SECONDS):
            raise LogUnavailable(f"the log {self._path} took nothing for {BUFFER_SECONDS:.0f} s and the buffer is full")

    def _run(self) -> None:
        housekeeping = time.monotonic() + HOUSEKEEPING_SECONDS
        while (batch := self._next(housekeeping)) is not None:
            if batch:
                self._write(batch)
            if time.monotonic() >= housekeeping:
                housekeeping = time.monotonic() + (MORE_SECONDS if self._keep_house() else HOUSEKEEPING_SECONDS)
        if self._connection is not None:
            self._connection.close()

    def _next(self, until: float) -> list[Append | _Job] | None:
        """The next items to write; an empty list when it is time for housekeeping, None at the end."""
        with self._lock:
            while not self._queue:
                if self._closing:
                    return None
                wait = until - time.monotonic()
                if wait <= 0:
                    return []
                self._filled.wait(wait)
            batch: list[Append | _Job] = []
            size = 0
            while self._queue and len(batch) < BATCH_RECORDS and size < BATCH_BYTES:
                item = self._queue.popleft()
                size += item.size
                if item.future.set_running_or_notify_cancel():
                    batch.append(item)
            self._bytes -= size
            self._drained.notify_all()
            return batch

    def _begin(self) -> Connection:
        if self._connection is None:
            self._connection = connect_to_write(self._engine)
        begin(self._connection)
        return self._connection

    def _write(self, batch: list[Append | _Job]) -> None:
        outcomes: list[tuple[Future[Any], Any]] = []
        try:
            self._verify()
            connection = self._begin()
            run: list[Append] = []
            for item in batch:
                if isinstance(item, Append):
                    run.append(item)
                    continue
                self._append(connection, run, outcomes)
                run = []
                outcomes.append((item.future, _outcome(item.run, connection)))
            self._append(connection, run, outcomes)
            connection.commit()
        except Exception as error:  # noqa: BLE001 - whatever it is, the callers must hear of it and the thread goes on
            self._roll_back()
            self._fail(batch, explain(error, self._path) if isinstance(error, DBAPIError) else error)
            return
        self._changed()
        for future, outcome in outcomes:
            if isinstance(outcome, BaseException):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)
        if time.monotonic() >= self._next_look:
            self._restrain_wal(connection)

    def _append(self, connection: Connection, run: list[Append], outcomes: list[tuple[Future[Any], Any]]) -> None:
        if run:
            positions: list[Position | Any] = list(self._appender.append(connection, run))
            outcomes += zip((append.future for append in run), positions, strict=True)

    def _fail(self, batch: list[Append | _Job], error: BaseException) -> None:
        """Fail these items and all that are queued, so that no later record of a key overtakes one that failed."""
        with self._lock:
            behind = [item for item in self._queue if item.future.set_running_or_notify_cancel()]
            self._queue.clear()
            self._bytes = 0
            self._drained.notify_all()
        for item in [*batch, *behind]:
            item.future.set_exception(error)

    def _restrain_wal(self, connection: Connection) -> None:
        """Empty the WAL when it is large: with several busy processes, SQLite never finds a moment to start it over."""
        self._next_look = time.monotonic() + WAL_SECONDS
        try:
            if self._wal.stat().st_size >= WAL_BYTES:
                empty_wal(connection, WAL_SECONDS)
        except (OSError, DBAPIError):  # if the disk fails, the next transaction reports it
            self._roll_back()

    def _roll_back(self) -> None:
        """Roll back by closing the connection: whatever the error was, the next transaction has a sound one."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            with contextlib.suppress(DBAPIError):
                connection.close()

    def _keep_house(self) -> bool:
        """Delete a slice of what is due, or give one back. Returns whether there is more; a failure is tried again."""
        try:
            connection = self._begin()
            now_ms = int(time.time() * 1_000)  # noqa: TID251 - the age of records on the disk
            more = delete_leftovers(connection) or delete_expired(connection, now_ms)
            connection.commit()
            more = more or give_back(connection)
        except DBAPIError:
            self._roll_back()
            return False
        return more


def _outcome(run: Callable[[Connection], Any], connection: Connection) -> Any:
    try:
        return run(connection)
    except WritebackError as error:
        return error
