"""``writeback worker --processes N``: as many workers as there are cores, each a process and a member of the group.

The supervisor has loaded what a worker needs, and forks its workers (``worker/process/children.py``): they share the
memory of all that. A worker that dies is forked again, after a pause that grows while it keeps dying. A worker whose
supervisor dies stops by itself in good order: its standard input ends.
"""

from __future__ import annotations

import signal
from collections.abc import Iterable

from worker.clock import Clock
from worker.log_events import logger
from worker.process.children import ChildProcesses

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
WELL_SECONDS = 60.0
"""A worker that lived this long was well: the pauses begin anew."""
CLOSING_SECONDS = 8.0
"""After the grace period: a worker flushes, commits, leaves its group and closes its connections."""
USAGE = 2
"""A worker that ends with this at its first start was started wrongly, and would be again."""


class Pauses:
    """0.5, 1, 2, 4, 8, 16, 30, 30 ... seconds, from the beginning again after a worker that was well."""

    def __init__(self) -> None:
        self._next = FIRST_PAUSE

    def after(self, lived: float) -> float:
        """How long to wait before the next start, when the last one lived so many seconds."""
        pause = FIRST_PAUSE if lived >= WELL_SECONDS else self._next
        self._next = min(LONGEST_PAUSE, pause * 2)
        return pause


class WorkerProcess:
    """One worker, from its first start on. ``pid``: 0 while it is not running; ``due``: then, when it is to start."""

    def __init__(self, number: int, now: float) -> None:
        self.number = number
        self.pid = 0
        self.due = self.began = now
        self.starts = 0
        self.code = 0
        self.pauses = Pauses()


class Supervisor:
    """``run`` ends when it was told to by a signal, or when a worker says that it was started wrongly."""

    def __init__(self, count: int, children: ChildProcesses, *, grace: float, clock: Clock) -> None:
        self._workers = [WorkerProcess(number, clock.monotonic()) for number in range(count)]
        self._children = children
        self._grace = grace
        self._clock = clock
        self._signal: signal.Signals | None = None
        self._deadline = float("inf")

    def run(self) -> tuple[int | None, int]:
        """Returns once in each process: ``(n, 0)`` in the n-th worker, which then does its work.

        In the supervisor, when all have ended: ``(None, code)``, the worst exit code of all, as a shell has it.
        """
        try:
            while self._signal is None or self._running():
                for worker in self._due():
                    if not self._start(worker):
                        return worker.number, 0
                self._hear(self._children.wait(self._patience()))
        except BaseException:
            self._kill()
            raise
        return None, max(worker.code for worker in self._workers)

    def _due(self) -> Iterable[WorkerProcess]:
        now = self._clock.monotonic()
        return [one for one in self._workers if not one.pid and one.due <= now and self._signal is None]

    def _running(self) -> list[WorkerProcess]:
        return [worker for worker in self._workers if worker.pid]

    def _patience(self) -> float | None:
        """Seconds until something is to be done even if nobody says anything; None when nothing is."""
        if self._signal is None:
            moments = [worker.due for worker in self._workers if not worker.pid]
        else:
            moments = [self._deadline] if self._running() else [self._clock.monotonic()]
        earliest = min(moments, default=float("inf"))
        return None if earliest == float("inf") else max(0.0, earliest - self._clock.monotonic())

    def _start(self, worker: WorkerProcess) -> bool:
        """False in the worker."""
        worker.began = self._clock.monotonic()
        worker.starts += 1
        worker.pid = self._children.fork()
        if worker.pid:
            logger().info("process.started", number=worker.number, pid=worker.pid)
        return bool(worker.pid)

    def _hear(self, signals: Iterable[signal.Signals]) -> None:
        for number in signals:
            if number != signal.SIGCHLD:
                self.told(number)
        for worker in self._running():
            if (code := self._children.ended(worker.pid)) is not None:
                worker.pid = 0
                self._ended(worker, code)
        if self._clock.monotonic() >= self._deadline:
            self._deadline = float("inf")
            self._kill()

    def told(self, number: signal.Signals) -> None:
        """To stop; the second time: at once. What is undone then is undone, and not committed."""
        if self._signal is not None:
            self._kill()
            return
        self._signal = number
        self._deadline = self._clock.monotonic() + self._grace + CLOSING_SECONDS
        for worker in self._running():
            self._children.send(worker.pid, number)

    def _kill(self) -> None:
        for worker in self._running():
            logger().warning("process.killed", number=worker.number, pid=worker.pid)
            self._children.send(worker.pid, signal.SIGKILL)

    def _ended(self, worker: WorkerProcess, code: int) -> None:
        if self._signal is not None:
            # by the very signal: it was asked to stop before it could listen, it had not begun
            worker.code = 0 if code == -self._signal else _as_a_shell(code)
        elif code == USAGE and worker.starts == 1:
            worker.code = code
            self.told(signal.SIGTERM)
        else:
            now = self._clock.monotonic()
            pause = worker.pauses.after(now - worker.began)
            worker.due = now + pause
            logger().error("process.ended", number=worker.number, code=_as_a_shell(code), restart_in=pause)


def _as_a_shell(code: int) -> int:
    return code if code >= 0 else 128 - code
