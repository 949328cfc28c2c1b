"""A stop lets calls finish, within its grace."""

from __future__ import annotations

import asyncio

from connectors.contract import (
    Found,
    Limits,
)
from tests.tools.one_process_profile import Bench
from tests.worker.inside import dispatcher
from tests.worker.samples import event
from topics.event.event import Operation
from worker.engine.dispatch.dispatch import Dispatcher


async def test_a_stop_lets_calls_finish(bench: Bench) -> None:
    """What is under way ends and is committed; what waits is left for the next worker."""
    saas = bench.connect()
    saas.limits = Limits(concurrency=1)
    saas.open.clear()

    async def open_when_stopping(one: Dispatcher) -> None:
        await bench.eventually(lambda: one.destination.paused)
        saas.open.set()

    bench.emit(*(event(number, operation=Operation.DELETE) for number in range(5)))

    async with bench.working() as worker:
        await bench.eventually(lambda: saas.seen)
        opening = asyncio.create_task(open_when_stopping(dispatcher(worker)))
    await opening

    assert saas.seen == ["e0"]
    assert bench.committed() == 1
    assert saas.closed == 1
    async with bench.working():
        await bench.eventually(lambda: bench.committed() == 5)
    assert saas.seen == [f"e{number}" for number in range(5)]


async def test_a_stop_ends_within_its_grace(bench: Bench) -> None:
    """A call that hangs is cut off; its outcome is unknown, and the next worker is told."""
    saas = bench.connect()
    saas.open.clear()
    bench.emit(event(0, operation=Operation.ADD))
    loop = asyncio.get_running_loop()

    async with bench.working(grace_seconds=0.3):
        await bench.eventually(lambda: saas.seen)
        begun = loop.time()

    assert loop.time() - begun < 5
    assert bench.committed() == 0
    saas.open.set()
    saas.finding = lambda _: Found(id="v0")
    async with bench.working():
        await bench.eventually(lambda: bench.committed() == 1)
    assert saas.seen == ["e0"]
    assert [one.id for one in saas.asked] == ["e0"]
