"""A script that asks in a loop, against the users' advice."""

from __future__ import annotations

import asyncio

import pytest

import pq
from pq import _current
from pq._scripts import ScriptStates
from pq._session import Session
from tests.worker.refresher.stand import Stand, until


@pytest.mark.timeout(300)
async def test_a_loop_costs_one_run(stand: Stand) -> None:
    """A hundred turns of a loop are one run, two when the machine is slow; each of the receipts tells how it ended."""

    def script() -> list[pq.Receipt]:
        receipts = [pq.refresh_connection(connection_name="Odoo") for _ in range(100)]
        pq.refresh_connection(connection_id=1, is_async=False)
        return receipts

    stand.connect(policy={"refresh": {"quiet": 2.0}})
    session = Session(stand.log, stand.connections, ScriptStates(stand.engine), source="loop.py")
    before = _current.replace(session)
    try:
        async with stand.running():
            receipts = await asyncio.to_thread(script)
            await until(lambda: stand.lag() == 0)
    finally:
        _current.replace(before)
        session.close()
    assert {receipt["status"] for receipt in receipts} == {"success"}
    assert 1 <= len({receipt["detail"]["run"] for receipt in receipts}) <= 2
    assert 1 <= len(stand.diary()) <= 2
    assert sum(run.requests for run in stand.finished()) == 101
    assert {tuple(run.asked_by) for run in stand.finished()} == {("loop.py",)}
