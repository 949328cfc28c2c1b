"""How a supervisor makes its workers and hears of them: ``fork``, signals, and a pipe that ends when it does.

What a worker inherits must be whole: no thread, no event loop and nothing open may be in the supervisor, so it waits
with ``select`` and a pipe into which the interpreter writes each signal's number.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Self

HEARD = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)
ROOM = 4_096


class ChildProcesses:
    """A context manager, for the main thread. Leaving it in a worker changes nothing for the supervisor."""

    def __enter__(self) -> Self:
        self._inbox, self._letters = _pipe()
        self._lifeline, self._held = os.pipe()
        self._before = {number: signal.signal(number, _heard) for number in HEARD}
        self._wakeup = signal.set_wakeup_fd(self._letters, warn_on_full_buffer=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._before:
            signal.set_wakeup_fd(self._wakeup)
            for number, handler in self._before.items():
                signal.signal(number, handler)
            self._close()

    def wait(self, seconds: float | None) -> list[signal.Signals]:
        """The signals that have come, in their order; none when the time was up first."""
        select.select([self._inbox], [], [], seconds)
        try:
            return [signal.Signals(number) for number in os.read(self._inbox, ROOM)]
        except BlockingIOError:
            return []

    def fork(self) -> int:
        """The worker's process id, and 0 in the worker.

        A worker is in a session of its own: the Ctrl-C of a terminal goes to a whole session, and it shall hear of it
        once, from its supervisor. Its standard input is a pipe that ends with the supervisor, however that ends.
        """
        sys.stdout.flush()
        sys.stderr.flush()  # or it would be said twice
        with _undisturbed():
            pid = os.fork()
            if not pid:
                self._leave_home()
        return pid

    def ended(self, pid: int) -> int | None:
        """The exit code of a worker, negative for a signal; None while it lives."""
        found, status = os.waitpid(pid, os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if found else None

    def send(self, pid: int, number: signal.Signals) -> None:
        """To a worker that has not been seen to have ended: so the number is still its own."""
        os.kill(pid, number)

    def _leave_home(self) -> None:
        """In the worker, before it hears anything: a signal to it must not land in the supervisor's inbox."""
        os.setsid()
        signal.set_wakeup_fd(-1)
        for number in HEARD:
            signal.signal(number, signal.SIG_DFL)
        self._before = {}
        os.dup2(self._lifeline, 0)
        self._close()

    def _close(self) -> None:
        for end in (self._inbox, self._letters, self._lifeline, self._held):
            if end:
                os.close(end)


def _heard(number: int, frame: FrameType | None) -> None:
    """A handler that does nothing: without one the interpreter writes no signal into the pipe."""


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Signals wait until it is over."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HEARD)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _pipe() -> tuple[int, int]:
    ends = os.pipe()
    for end in ends:
        os.set_blocking(end, False)
    return ends
