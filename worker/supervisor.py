"""``writeback worker --processes N``: as many workers as there are cores, each a process and a member of the group.

A worker that dies is started again, after a pause that grows while it keeps dying. A worker whose supervisor dies,
however, stops by itself in good order: its standard input ends.
"""

from __future__ import annotations

import asyncio
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from worker.clock import Clock
from worker.events import logger

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
WELL_SECONDS = 60.0
"""A worker that lived this long was well: the pauses begin anew."""
CLOSING_SECONDS = 8.0
"""After the grace period: a worker flushes, commits, leaves its group and closes its connections."""
USAGE = 2
"""A worker that ends with this at its first start was started wrongly, and would be again."""


@dataclass(frozen=True, slots=True)
class Start:
    """How one worker is started."""

    command: Sequence[str]
    environment: Mapping[str, str]


class Pauses:
    """0.5, 1, 2, 4, 8, 16, 30, 30 ... seconds, from the beginning again after a worker that was well."""

    def __init__(self) -> None:
        self._next = FIRST_PAUSE

    def after(self, lived: float) -> float:
        """How long to wait before the next start, when the last one lived so many seconds."""
        pause = FIRST_PAUSE if lived >= WELL_SECONDS else self._next
        self._next = min(LONGEST_PAUSE, pause * 2)
        return pause


class Supervisor:
    """``run`` ends when it was told to by a signal, or when a worker says that it was started wrongly."""

    def __init__(self, starts: Sequence[Start], *, grace: float, clock: Clock) -> None:
        self._starts = starts
        self._grace = grace
        self._clock = clock
        self._stop = asyncio.Event()
        self._signal = signal.SIGTERM
        self._processes: dict[int, Process] = {}

    async def run(self) -> int:
        """The worst exit code of all workers, as a shell has it."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled, number)
        keepers = [asyncio.create_task(self._keep(n, start)) for n, start in enumerate(self._starts)]
        try:
            await self._stop.wait()
            _, late = await asyncio.wait(keepers, timeout=self._grace + CLOSING_SECONDS)
            if late:
                self._kill()
            return max(await asyncio.gather(*keepers))
        finally:
            self._kill()

    def _signalled(self, number: signal.Signals) -> None:
        if self._stop.is_set():  # the second: what is undone is undone, and not committed
            self._kill()
            return
        self._signal = number
        self._stop.set()
        for process in self._processes.values():
            _send(process, number)

    def _kill(self) -> None:
        for number, process in self._processes.items():
            logger().warning("process.killed", number=number, pid=process.pid)
            _send(process, signal.SIGKILL)

    async def _keep(self, number: int, start: Start) -> int:
        """Keep one worker running; its last exit code."""
        pauses, first = Pauses(), True
        while not self._stop.is_set():
            began = self._clock.monotonic()
            code = await self._live(number, start)
            if self._stop.is_set():
                return code
            if code == USAGE and first:
                self._signalled(signal.SIGTERM)
                return code
            first = False
            pause = pauses.after(self._clock.monotonic() - began)
            logger().error("process.ended", number=number, code=code, restart_in=pause)
            await self._pause(pause)
        return 0

    async def _live(self, number: int, start: Start) -> int:
        process = await asyncio.create_subprocess_exec(
            *start.command,
            env=start.environment,
            stdin=PIPE,
            start_new_session=True,  # Ctrl-C of a terminal goes to a whole session: each worker hears it once, from us
        )
        self._processes[number] = process
        logger().info("process.started", number=number, pid=process.pid)
        if self._stop.is_set():
            _send(process, self._signal)
        try:
            code = await process.wait()
        finally:
            del self._processes[number]
        if self._stop.is_set() and code == -self._signal:
            return 0  # it was asked to stop before it could listen: it had not begun
        return code if code >= 0 else 128 - code

    async def _pause(self, seconds: float) -> None:
        either = [asyncio.create_task(self._clock.sleep(seconds)), asyncio.create_task(self._stop.wait())]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        for task in either:
            task.cancel()


def _send(process: Process, number: signal.Signals) -> None:
    if process.returncode is None:
        process.send_signal(number)
