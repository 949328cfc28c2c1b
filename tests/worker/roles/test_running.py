"""The parts of one process: how they begin, and who stops when."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from topics.errors import LogUnavailable, WritebackError
from worker.roles import running
from worker.roles.running import Later, run_until_signalled


class Part:
    """A part that runs until it is told to stop, or fails."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.stopped = False

    async def run(self, stop: asyncio.Event) -> None:
        if self.error:
            raise self.error
        await stop.wait()
        self.stopped = True


async def test_a_signal_stops_all_parts_in_order() -> None:
    """The first signal only asks: every part ends by itself."""
    parts = [Part(), Part()]
    asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGTERM)
    await run_until_signalled(parts)

    assert [part.stopped for part in parts] == [True, True]


async def test_the_first_part_goes_on_until_the_others_have_ended() -> None:
    """Its work stands still until the process has ended and another takes over: so it is the last to stop."""
    worker = Part()

    class Archive(Part):
        async def run(self, stop: asyncio.Event) -> None:
            await super().run(stop)
            await asyncio.sleep(0)
            self.worker_stopped = worker.stopped

    archive = Archive()
    asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGTERM)
    await run_until_signalled([worker, archive])

    assert not archive.worker_stopped
    assert worker.stopped


async def test_a_part_that_begins_later_is_not_even_made_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its modules are loaded when it begins, and a stop before that finds nothing to stop."""
    made: list[Part] = []

    def make() -> Part:
        made.append(Part())
        return made[-1]

    stop = asyncio.Event()
    stop.set()
    await Later(make).run(stop)
    assert made == []

    monkeypatch.setattr(running, "LATER_SECONDS", 0.0)
    stop.clear()
    task = asyncio.create_task(Later(make).run(stop))
    while not made:  # noqa: ASYNC110 - a thread makes it
        await asyncio.sleep(0)
    stop.set()
    await task

    assert [part.stopped for part in made] == [True]


async def test_a_part_that_fails_stops_the_others() -> None:
    """A process never lives on with half of its parts; the reason is raised."""
    healthy = Part()
    with pytest.raises(WritebackError, match="the log is gone"):
        await run_until_signalled([healthy, Part(LogUnavailable("the log is gone"))])

    assert healthy.stopped
