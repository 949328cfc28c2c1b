from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Engine

from topics.store import open_store
from worker.clock import FakeClock
from worker.refresher.leases import TAKEOVER_SECONDS, Held, Lease, Leases, Watch
from worker.refresher.reads import ReadsUnderWay


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    sqlite = request.param == "sqlite"
    engine = open_store(f"sqlite:///{tmp_path}/store.db" if sqlite else request.getfixturevalue("postgres_url"))
    yield engine
    engine.dispose()


def test_one_holder(engine: Engine) -> None:
    """Of any number who want it at the same moment, one has it; the others see who."""
    leases = Leases(engine)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda number: leases.take("odoo", f"h{number}"), range(8)))
    taken = [one for one in found if isinstance(one, Lease)]
    assert [lease.epoch for lease in taken] == [1]
    assert isinstance(leases.take("odoo", "late"), Held)
    assert isinstance(leases.take("shop", "late"), Lease)


def test_release(engine: Engine) -> None:
    """Free at once; the next holder has another epoch, and the one before cannot touch it any more."""
    leases = Leases(engine)
    first = leases.take("odoo", "a")
    assert isinstance(first, Lease)
    leases.release(first)
    second = leases.take("odoo", "b")
    assert second == Lease("odoo", 2)
    assert not leases.pulse(first)
    leases.release(first)
    assert isinstance(leases.take("odoo", "c"), Held)


def test_takeover(engine: Engine) -> None:
    """Only a lease that has not moved is taken over: one sign of life, and the attempt fails."""
    leases = Leases(engine)
    first = leases.take("odoo", "a")
    assert isinstance(first, Lease)
    seen = leases.take("odoo", "b")
    assert isinstance(seen, Held)
    assert leases.pulse(first)
    assert isinstance(leases.take("odoo", "b", dead=seen), Held)
    now = leases.take("odoo", "b")
    assert isinstance(now, Held)
    assert leases.take("odoo", "b", dead=now) == Lease("odoo", 2)
    assert not leases.pulse(first)


def test_reads_under_way(engine: Engine) -> None:
    """Whose lease is held, for as long as its holder shows that it lives."""
    leases, clock = Leases(engine), FakeClock()
    reads = ReadsUnderWay(leases, clock)
    lease = leases.take("odoo", "a")
    assert isinstance(lease, Lease)
    leases.take("shop", "b")
    assert reads() == {"odoo", "shop"}
    clock.advance(TAKEOVER_SECONDS)
    leases.pulse(lease)
    assert reads() == {"odoo"}
    leases.release(lease)
    assert reads() == set()


def test_watch() -> None:
    """A holder is dead when it has looked the same for long enough by the watcher's own clock, and not before."""
    watch, held = Watch(), Held("a", 1, 7)
    assert not watch.dead("odoo", held, 100.0)
    assert not watch.dead("odoo", held, 100.0 + TAKEOVER_SECONDS - 0.1)
    assert watch.dead("odoo", held, 100.0 + TAKEOVER_SECONDS)
    assert not watch.dead("odoo", Held("a", 1, 8), 200.0)
    watch.forget("odoo")
    assert not watch.dead("odoo", Held("a", 1, 8), 300.0)
