"""What operators do while a worker runs: pause, resume, change, remove, a wrong secret."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.connections.store import Connections
from connectors.contract import (
    Delivered,
    Limits,
    Rejected,
)
from tests.tools.one_process_profile import Bench
from tests.worker.inside import dispatcher, is_paused
from tests.worker.samples import event


async def test_paused_and_resumed(bench: Bench) -> None:
    """Within a second nothing goes out any more; resumed, everything does, in order, and nothing was dead-lettered."""
    saas = bench.connect()
    other = bench.connect("other")
    bench.connections.set_state("acme", "paused", "maintenance")
    bench.emit(*(event(number, "same") for number in range(5)))
    bench.emit(event(9, connection="other"), slug="other")

    async with bench.working() as worker:
        await bench.eventually(lambda: bench.committed("other") == 1)
        await bench.eventually(lambda: is_paused(worker))
        await bench.eventually(lambda: dispatcher(worker).lane.records == 0)  # no memory for what waits for a person
        assert saas.seen == []
        bench.connections.set_state("acme", "active")
        await bench.eventually(lambda: bench.committed() == 5)
        bench.connections.set_state("acme", "paused", "again")
        await bench.eventually(lambda: is_paused(worker))
        bench.emit(event(6))

    assert saas.seen == [f"e{number}" for number in range(5)]
    assert other.seen == ["e9"]
    assert bench.committed() == 5
    assert bench.letters() == []


async def test_changed_settings_are_used_without_a_restart(bench: Bench) -> None:
    """The connector is closed in good order and made anew; the call under way is not cut off."""
    saas = bench.connect()
    saas.open.clear()
    bench.emit(event(1))

    async with bench.working() as worker:
        await bench.eventually(lambda: saas.seen)
        bench.connections.update("acme", limits={"concurrency": 2})
        await bench.eventually(lambda: is_paused(worker))
        saas.open.set()
        await bench.eventually(lambda: saas.built == 2)
        bench.emit(event(2))
        await bench.eventually(lambda: bench.committed() == 2)
        assert dispatcher(worker).destination.limits == Limits(concurrency=2)

    assert saas.seen == ["e1", "e2"]
    assert saas.closed == 2


def _is_held(bench: Bench, slug: str) -> bool:
    standing = bench.connections.standings().get(slug)
    return standing is not None and standing.state == "held"


async def test_what_comes_for_a_removed_connection_waits(bench: Bench) -> None:
    """Nothing is delivered to somebody who is gone, nothing is lost: a new connection of that name gets it."""
    saas = bench.connect()
    bench.emit(event(1))

    async with bench.working() as worker:
        await bench.eventually(lambda: bench.committed() == 1)
        bench.connections.remove("acme")
        await bench.eventually(lambda: worker._router.intakes["acme"].state == "unknown")
        bench.emit(event(2))
        await bench.eventually(lambda: _is_held(bench, "acme"))
        seen = list(saas.seen)
        bench.connect()
        await bench.eventually(lambda: bench.committed() == 2)

    assert seen == ["e1"]
    assert bench.saas["acme"].seen == ["e2"]
    assert bench.letters() == []


async def test_a_flood_of_rejections_quarantines_the_connection(bench: Bench) -> None:
    """The topic is not drained into the dead letters; an operator resumes and the rest is delivered."""
    saas = bench.connect()
    saas.answer = lambda _: Rejected("unknown property 'nickname'")
    bench.emit(*(event(number) for number in range(600)))

    async with bench.working():
        await bench.eventually(lambda: bench.connections.get("acme").state == "quarantined")
        await bench.eventually(lambda: saas.built == 2)  # it has come back to the worker
        dead_lettered = len(bench.letters())
        assert "more than half of the last 200" in bench.connections.get("acme").state_reason
        saas.answer = lambda _: Delivered()
        bench.connections.set_state("acme", "active")
        await bench.eventually(lambda: bench.committed() == 600)

    assert 101 <= dead_lettered <= 101 + 160  # those that were out already
    assert len(bench.letters()) == dead_lettered
    assert len({result.id for result in bench.results()}) == 600


async def test_a_secret_that_does_not_decrypt_holds_only_its_connection(bench: Bench) -> None:
    """Its events wait, unread and not dead-lettered; the others flow; with the secret mended they are delivered."""
    saas = bench.connect(secrets={"token": "t"})
    other = bench.connect("other")
    bench.connections = Connections(bench._store, "1" * 43 + "=")
    bench.emit(event(1))
    bench.emit(event(2, connection="other"), slug="other")

    async with bench.working() as worker:
        await bench.eventually(lambda: bench.committed("other") == 1)
        await bench.eventually(lambda: worker._router.intakes["acme"].state == "held")
        assert "token" in worker._router.intakes["acme"].reason
        assert (saas.built, bench.committed()) == (0, 0)
        bench.connections.update("acme", secrets={"token": "mended"})
        await bench.eventually(lambda: bench.committed() == 1)

    assert (saas.seen, other.seen) == (["e1"], ["e2"])
    assert bench.letters() == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"limits": {"rate": 0}}, "the limit rate is 0"),
        ({"limits": {"concurrency": 0}}, "the limit concurrency is 0"),
        ({"limits": {"per_seconds": "1s"}}, "the limit per_seconds is '1s'"),
        ({"policy": {"on_unknown": "retry"}}, "the policy on_unknown is 'retry'"),
        ({"policy": {"on_unknown": {"add": "maybe"}}}, "the policy on_unknown is"),
    ],
)
async def test_settings_that_cannot_be_kept_hold_only_their_connection(
    bench: Bench, changes: dict[str, Any], reason: str
) -> None:
    """One connection's mistake is not everybody's end."""
    bench.connect(**changes)
    bench.connect("other")
    bench.emit(event(1))
    bench.emit(event(2, connection="other"), slug="other")

    async with bench.working() as worker:
        await bench.eventually(lambda: bench.committed("other") == 1)
        await bench.eventually(lambda: worker._router.intakes["acme"].state == "held")
        assert reason in worker._router.intakes["acme"].reason

    assert bench.committed() == 0
