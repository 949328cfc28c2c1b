"""Parts that run side by side in one process until a signal, or the end of one of them, stops all."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from topics.cli.console import INTERRUPTED

STDIN = 0
LATER_SECONDS = 1.0
"""After this the parts begin for which nobody waits: the worker has enough to do when it starts."""
BESIDE_SECONDS = 2.0
"""How long the worker goes on, at a stop, for the other parts to end: longer than the archive polls."""


class Part(Protocol):
    """Something that runs until it is told to stop."""

    async def run(self, stop: asyncio.Event) -> None: ...


P = TypeVar("P", bound=Part)


class Later(Generic[P]):
    """A part that is made and begun a little later than the others."""

    def __init__(self, make: Callable[[], P]) -> None:
        self._make = make
        self.part: P | None = None

    async def run(self, stop: asyncio.Event) -> None:
        try:
            await asyncio.wait_for(stop.wait(), LATER_SECONDS)
        except TimeoutError:
            self.part = await asyncio.to_thread(self._make)
            await self.part.run(stop)


async def run_until_signalled(parts: Sequence[Part], *, supervised: bool = False) -> None:
    """Run all parts; the first signal asks them to stop, the second ends the process. One that fails stops all.

    The first part stops last: as long as another one holds up the end of this process, nobody takes over its work.
    ``supervised``: standard input is a pipe that a supervisor holds; when it ends, the supervisor has.
    """
    stop, last = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _stop_or_exit, stop, number)
    if supervised:
        loop.add_reader(STDIN, _orphaned, stop)
    tasks = [asyncio.create_task(part.run(stop if number else last)) for number, part in enumerate(parts)]
    asked = asyncio.create_task(stop.wait())
    await asyncio.wait([asked, *tasks], return_when=asyncio.FIRST_COMPLETED)
    stop.set()
    if beside := tasks[1:]:
        await asyncio.wait(beside, timeout=BESIDE_SECONDS)
    last.set()
    await asked
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome


def _stop_or_exit(stop: asyncio.Event, number: int) -> None:
    if stop.is_set():
        os._exit(INTERRUPTED if number == signal.SIGINT else 128 + number)  # what is undone is undone: not committed
    stop.set()


def _orphaned(stop: asyncio.Event) -> None:
    asyncio.get_running_loop().remove_reader(STDIN)
    stop.set()
