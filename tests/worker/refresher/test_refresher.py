"""The refresher, on both logs, with real processes for its runs."""

from __future__ import annotations

from tests.worker.refresher.stand import Stand, until


async def test_one_run(stand: Stand) -> None:
    """Requests of one burst are one run, for all that was asked for; each is in the ledger, and who waits is told."""
    stand.connect()
    async with stand.running():
        first = stand.ask(objects=("contact",), source="pq:a.py", reply_to=3)
        second = stand.ask(objects=("deal",), source="writeback refresh")
        await until(stand.finished)
        await until(lambda: stand.lag() == 0)
    [began] = stand.diary()
    assert (began["connection"], began["objects"], began["full"]) == ("odoo", ["contact", "deal"], False)
    [run] = stand.finished()
    assert (run.state, run.requests, run.attempt, run.rows) == ("ok", 2, 1, {"contact": 42})
    assert run.asked_by == ["pq:a.py", "writeback refresh"]
    assert {(result.id, result.outcome, result.operation, result.detail) for result in stand.results()} == {
        (first.id, "delivered", "refresh", run.id),
        (second.id, "delivered", "refresh", run.id),
    }
    [reply] = stand.replies()
    assert reply.id == first.id
    assert reply.detail["rows"] == {"contact": 42}
    assert (reply.detail["run"], reply.detail["requests"], reply.detail["pending_writes"]) == (run.id, 2, 0)
