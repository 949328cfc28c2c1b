"""Starting and stopping, at any moment and more than once."""

from __future__ import annotations

import asyncio

import pytest

from tests.tools.one_process_profile import Bench
from tests.worker.samples import event


async def test_stopped_before_it_started(bench: Bench) -> None:
    """A signal that comes first is obeyed: nothing is taken."""
    saas = bench.connect()
    bench.emit(event(1))
    stop = asyncio.Event()
    stop.set()

    await asyncio.wait_for(bench.worker().run(stop), 30)

    assert saas.seen == []
    assert bench.committed() == 0


async def test_stopped_twice_at_once(bench: Bench) -> None:
    """A second signal changes nothing."""
    bench.connect()
    stop = asyncio.Event()
    running = asyncio.create_task(bench.worker().run(stop))
    await asyncio.sleep(0)

    stop.set()
    stop.set()

    await asyncio.wait_for(running, 30)


async def test_workers_one_after_the_other(bench: Bench) -> None:
    """Each takes up where the last one left; nothing of it stays behind."""
    saas = bench.connect()
    before = len(asyncio.all_tasks())
    for number in range(5):
        bench.emit(event(number))
        async with bench.working():
            await bench.eventually(lambda number=number: bench.committed() == number + 1)  # type: ignore[misc]

    assert saas.seen == [f"e{number}" for number in range(5)]
    assert saas.closed == saas.built == 5
    assert len(asyncio.all_tasks()) == before


@pytest.mark.parametrize("turns", [0, 1, 2, 5, 20, 100])
async def test_stopped_at_any_moment(bench: Bench, turns: int) -> None:
    """However far it has come, it stops; the next worker does the rest, and everything once."""
    saas = bench.connect()
    bench.emit(*(event(number) for number in range(50)))
    stop = asyncio.Event()
    running = asyncio.create_task(bench.worker().run(stop))
    for _ in range(turns):
        await asyncio.sleep(0)
    stop.set()
    await asyncio.wait_for(running, 30)

    async with bench.working():
        await bench.eventually(lambda: bench.committed() == 50)

    assert sorted(saas.seen) == sorted(f"e{number}" for number in range(50))
    assert len(bench.results()) == 50


async def test_a_worker_whose_run_is_cancelled_still_stops_in_good_order(bench: Bench) -> None:
    """Whatever was done is committed, and the group is free for the next one at once."""
    saas = bench.connect()
    bench.emit(event(1))
    running = bench.start(bench.worker(), asyncio.Event())
    await bench.eventually(lambda: saas.seen)

    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert bench.committed() == 1
    assert saas.closed == 1
