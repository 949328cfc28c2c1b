"""How much of one pass of the event loop answers may take."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from tests.tools.one_process_profile import Bench
from tests.worker.samples import event
from topics.event.event import Operation
from worker.engine.passes import SECONDS, PassLimit


class Bursts:
    """Answers that all come at once, each of which takes so many seconds; ``passes``: how many a pass has settled."""

    def __init__(self) -> None:
        self.now = 0.0
        self.settled: list[int] = []
        self.limit = PassLimit(lambda: self.now)

    async def answer(self, number: int, seconds: float) -> None:
        await self.limit.turn()
        self.settled.append(number)
        self.now += seconds

    async def burst(self, count: int, seconds: float) -> list[int]:
        """How many each pass has settled, until all are."""
        done = [len(self.settled)]
        tasks = [asyncio.create_task(self.answer(number, seconds)) for number in range(count)]
        while not all(task.done() for task in tasks):
            await asyncio.sleep(0)
            done.append(len(self.settled))
        return [after - before for before, after in pairwise(done) if after > before]


async def test_long_answers_share_their_passes() -> None:
    """Once it is known how long they take: whatever else is ready waits for no more than the share of a pass."""
    bursts = Bursts()
    await bursts.burst(4, SECONDS / 4)
    passes = await bursts.burst(40, SECONDS / 4)

    assert set(passes) <= {3, 4}
    assert bursts.settled[4:] == list(range(40))


async def test_one_answer_is_always_settled() -> None:
    """However long they take."""
    bursts = Bursts()
    await bursts.burst(2, 10 * SECONDS)

    assert await bursts.burst(5, 10 * SECONDS) == [1] * 5


async def test_short_answers_wait_for_nothing() -> None:
    """Two hundred that take a hundredth of the share together are settled in one pass."""
    bursts = Bursts()
    await bursts.burst(200, SECONDS / 20_000)

    assert await bursts.burst(200, SECONDS / 20_000) == [200]


async def test_one_that_is_cut_off_keeps_nobody_waiting() -> None:
    """A turn that nobody takes is the next one's."""
    bursts = Bursts()
    await bursts.burst(1, SECONDS)
    tasks = [asyncio.create_task(bursts.answer(number, SECONDS)) for number in range(4)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    tasks[2].cancel()

    with pytest.raises(asyncio.CancelledError):
        await tasks[1]
    await tasks[3]
    assert bursts.settled[1:] == [0, 3]


async def test_an_answer_that_waits_at_a_stop_is_known(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut off before its turn came, it is settled all the same: its call is not under suspicion."""

    async def never(_: PassLimit) -> None:
        await asyncio.Event().wait()

    saas = bench.connect()
    with monkeypatch.context() as busy:
        busy.setattr(PassLimit, "turn", never)
        async with bench.working(grace_seconds=0.1):
            bench.emit(event(0, operation=Operation.DELETE))
            await bench.eventually(lambda: saas.seen)
    async with bench.working():
        bench.emit(event(1))
        await bench.eventually(lambda: bench.committed() == 2)

    assert saas.seen == ["e0", "e1"]
    assert bench.letters() == []
    assert {(result.id, result.outcome) for result in bench.results()} == {("e0", "delivered"), ("e1", "delivered")}
