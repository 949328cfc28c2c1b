"""Memory, partitions, retention and the part of the rate that a refresh gets."""

from __future__ import annotations

import asyncio
import time

import pytest

from connectors.contract import (
    Limits,
)
from tests.tools.one_process_profile import Bench
from tests.worker.inside import dispatcher
from tests.worker.left_behind import ACME
from tests.worker.samples import event
from topics import names
from topics.event import codec
from topics.log import Partition
from worker.engine.settlement import deletion


async def test_memory_stays_within_the_budget(bench: Bench) -> None:
    """A backlog is not read into memory: a full lane pauses its partitions and flows again."""
    saas = bench.connect()
    saas.limits = Limits(concurrency=2)
    bench.emit(*(event(number) for number in range(3_000)))
    most = 0

    async with bench.working(budget_records=100) as worker:

        def done() -> bool:
            nonlocal most
            most = max(most, worker._router._budget.records)
            return bench.committed() == 3_000

        await bench.eventually(done)
        assert (worker._router._budget.records, worker._router._budget.bytes) == (0, 0)

    assert most <= 100 + 2 * 500  # one poll that came back before the pause, and one that was on its way
    assert len(set(saas.seen)) == 3_000


async def test_all_partitions_of_a_connection_flow(bench: Bench) -> None:
    """Four partitions, one owner, the whole quota; each is committed by itself."""
    saas = bench.connect(partitions=4, limits={"rate": 400})
    for number in range(200):
        bench.emit(event(number), partition=number % 4)

    async with bench.working() as worker:
        await bench.eventually(lambda: [bench.committed(number=number) for number in range(4)] == [50] * 4)
        assert dispatcher(worker).destination.throttle.rate == pytest.approx(388)

    assert len(saas.seen) == 200


async def test_what_is_done_and_old_is_deleted(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker deletes delivered events of its partitions once they are old; what is young, or undone, stays."""
    monkeypatch.setattr(deletion, "LOOK_SECONDS", 0.05)
    saas = bench.connect()
    bench.connect("slow").open.clear()
    for slug in ("acme", "slow"):
        for number, age_s in enumerate((900, 800, 0)):
            encoded = codec.encode(event(number, connection=slug))
            at = int((time.time() - age_s) * 1_000)
            bench.producer.send(names.DEFAULT.events_topic(slug), **encoded._asdict(), timestamp_ms=at)
    bench.producer.flush(30)
    slow = Partition(names.DEFAULT.events_topic("slow"), 0)

    async with bench.working(keep_seconds=600.0):
        await bench.eventually(lambda: bench.log.start_offsets([ACME]) == {ACME: 2})
        await asyncio.sleep(0.2)
        undone = bench.log.start_offsets([slow])
        bench.saas["slow"].open.set()

    assert undone == {slow: 0}
    assert saas.seen == ["e0", "e1", "e2"]


async def test_a_refresh_gets_its_part_of_the_rate(bench: Bench) -> None:
    """While one reads the connection its writes keep to half, from their first call on; then all of it is theirs again.

    One that another tool makes has a quota of its own.
    """
    bench.connect(limits={"rate": 100})
    bench.connect("other", limits={"rate": 100}, policy={"refresh": {"call": {"tool": "command", "command": "true"}}})
    bench.reads |= {"acme", "other"}
    bench.emit(event(0))
    bench.emit(event(1, connection="other"), slug="other")

    async with bench.working() as worker:
        await bench.eventually(lambda: len(bench.results()) == 2)
        rates = [dispatcher(worker, slug).destination.throttle.rate for slug in ("acme", "other")]
        bench.reads.clear()
        await bench.eventually(lambda: dispatcher(worker).destination.throttle.rate == 97)

    assert rates == [48.5, 97]
