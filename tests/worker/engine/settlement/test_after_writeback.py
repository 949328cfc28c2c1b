"""``refresh: after_writeback``: the worker asks by itself, for what was written."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.contract import Rejected
from tests.tools.one_process_profile import Bench
from tests.worker.samples import event
from topics import names
from topics.event.refresh import RefreshRequest, decode
from worker.engine.settlement.ledger import Ledger

POLICY = {"refresh": {"after_writeback": True}}


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.close()


def asked(bench: Bench) -> list[RefreshRequest]:
    return [decode(record) for record in bench.records(names.DEFAULT.refresh)]


async def test_what_was_written_is_asked_for(bench: Bench) -> None:
    """Once delivered, the objects are asked for, before the offset moves; few requests, however many events."""
    bench.connect(policy=POLICY)
    bench.emit(*(event(number) for number in range(100)))
    async with bench.working():
        await bench.eventually(lambda: bench.committed() == 100)
        requests = asked(bench)
    assert 1 <= len(requests) <= 20
    assert {(one.connection, one.objects, one.source) for one in requests} == {
        ("acme", ("contact",), "worker: after_writeback")
    }


async def test_nothing_delivered_nothing_asked(bench: Bench) -> None:
    """Events that end as dead letters, and connections that do not want it, cause no refresh."""
    saas = bench.connect(policy=POLICY)
    saas.answer = lambda _: Rejected("no")
    bench.connect("other")
    bench.emit(event(1))
    bench.emit(event(2, connection="other"), slug="other")
    async with bench.working():
        await bench.eventually(lambda: bench.committed() == 1 and bench.committed("other") == 1)
        assert asked(bench) == []


async def test_a_policy_that_changes(bench: Bench) -> None:
    """A worker that runs sees it."""
    bench.connect()
    bench.emit(event(1))
    async with bench.working():
        await bench.eventually(lambda: bench.committed() == 1)
        bench.connections.update("acme", policy=POLICY)
        await bench.eventually(lambda: bench.saas["acme"].built == 2)
        bench.emit(event(2))
        await bench.eventually(lambda: bench.committed() == 2)
        assert len(asked(bench)) == 1


async def test_a_request_that_is_not_safe(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as the log has not taken the request, the offset stays: a crash then asks again, and forgets nothing."""
    bench.connect(policy=POLICY)
    hindered = asyncio.Event()
    flush = Ledger.flush

    async def without_after(self: Ledger) -> None:
        after, self._after = self._after, hinder
        try:
            await flush(self)
        finally:
            self._after = after

    async def hinder(_: object) -> None:
        hindered.set()
        raise asyncio.CancelledError

    bench.emit(event(1))
    monkeypatch.setattr(Ledger, "flush", without_after)
    worker = bench.worker()
    running = bench.start(worker, asyncio.Event())
    await hindered.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert (bench.committed(), asked(bench)) == (0, [])

    monkeypatch.undo()
    async with bench.working():
        await bench.eventually(lambda: bench.committed() == 1)
        assert [one.objects for one in asked(bench)] == [("contact",)]
