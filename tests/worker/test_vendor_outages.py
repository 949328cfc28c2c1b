"""An outage, a throttled destination, a limit of one key: the worker waits, and goes on by itself."""

from __future__ import annotations

from connectors.contract import (
    Delivered,
    Down,
    Retry,
    Throttled,
)
from tests.tools.one_process_profile import Bench
from tests.worker.inside import dispatcher
from tests.worker.samples import event
from worker.engine.destination.destination import KEYS_IN_A_ROW


async def test_an_outage_costs_nothing_and_ends_by_itself(bench: Bench) -> None:
    """Down: paused, memory given back, nothing dead-lettered, no attempt spent; up again: delivered, each once."""
    saas = bench.connect()
    bench.connect("other")
    saas.state = Down("still refused")
    saas.answer = lambda _: Down("connection refused")
    bench.emit(*(event(number, f"k{number % 50}") for number in range(300)))
    bench.emit(event(1, connection="other"), slug="other")

    async with bench.working() as worker:
        await bench.eventually(lambda: saas.probes >= 1 and dispatcher(worker).lane.records == 0)
        assert dispatcher(worker).destination.breaker.state == "open"
        assert all("down" in one.holds for one in worker._router.intakes["acme"].assignments.values())
        await bench.eventually(lambda: bench.committed("other") == 1)
        tried = len(saas.batches)
        saas.state = Delivered()
        saas.answer = lambda _: Delivered()
        await bench.eventually(lambda: bench.committed() == 300)
        assert dispatcher(worker).destination.breaker.state == "closed"

    assert tried <= saas.limits.concurrency
    assert bench.letters() == []
    assert sorted(result.id for result in bench.results()) == sorted([f"e{number}" for number in range(300)] + ["e1"])


async def test_a_throttled_destination_is_waited_for(bench: Bench) -> None:
    """429 costs no attempt and letters nothing, however often it comes."""
    saas = bench.connect()
    refusals = iter(range(6))
    saas.answer = lambda _: Throttled(0.05) if next(refusals, None) is not None else Delivered()
    bench.emit(event(1))

    async with bench.working():
        await bench.eventually(lambda: bench.committed() == 1)

    assert saas.seen == ["e1"] * 7
    assert bench.letters() == []


async def test_a_limit_of_one_key_holds_only_that_key(bench: Bench) -> None:
    """A 429 for one channel waits for that channel: the others go on, and its own messages keep their order."""
    saas = bench.connect()
    refusals = iter(range(1))
    saas.answer = lambda of: (
        Throttled(0.4, scope="key") if of.key == "slow" and next(refusals, None) is not None else Delivered()
    )
    bench.emit(event(1, key="slow"), event(2, key="slow"), *(event(number, key=f"k{number}") for number in range(3, 9)))

    async with bench.working() as worker:
        await bench.eventually(lambda: bench.committed() == 8)
        assert dispatcher(worker).destination.throttle.wait(0.0) == 0

    assert saas.seen[0] == "e1"
    assert saas.seen[-2:] == ["e1", "e2"]
    assert sorted(saas.seen[1:-2]) == [f"e{number}" for number in range(3, 9)]
    assert bench.letters() == []


async def test_a_limit_of_every_key_is_the_connections(bench: Bench) -> None:
    """A vendor that says to each key in turn that it has to wait means the connection: the other keys are not tried."""
    saas = bench.connect(limits={"concurrency": 1})
    saas.answer = lambda _: Throttled(30.0, scope="key")
    bench.emit(*(event(number, key=f"k{number}") for number in range(30)))

    async with bench.working() as worker:
        await bench.eventually(
            lambda: saas.seen and dispatcher(worker).destination.throttle.wait(worker._clock.monotonic()) > 20
        )

    assert KEYS_IN_A_ROW < len(saas.seen) <= KEYS_IN_A_ROW + 2  # one may be on its way when the others are stopped


async def test_a_half_open_batch_with_one_bad_record_closes(bench: Bench) -> None:
    """The vendor answered for the others: the failure is the record's own, and it ends in its letter."""
    saas = bench.connect()
    saas.answer = lambda _: Down("connection refused")
    bench.emit(*(event(number) for number in range(5)))

    async with bench.working() as worker:
        await bench.eventually(lambda: saas.seen and dispatcher(worker).destination.breaker.state == "open")
        saas.answer = lambda of: Retry("500") if of.id == "e3" else Delivered()
        await bench.eventually(lambda: bench.committed() == 5)

    assert [(letter.event_id, letter.verdict) for letter in bench.letters()] == [("e3", "exhausted")]
