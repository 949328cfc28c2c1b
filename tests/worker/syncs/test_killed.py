"""A process that runs a sync is killed at every step, on both logs: no row is lost, and none is in the log twice."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from uuid import uuid4

import pytest

from tests.kafka_broker import Broker
from tests.tools.killed_sync import STEPS, run_until
from tests.worker.syncs.conftest import World, sync_of
from tests.worker.syncs.test_model import OFF, change_something, in_the_query
from worker.syncs.definition.model import Sync


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """An installation on either log."""
    log = None
    if request.param == "kafka":
        broker: Broker = request.getfixturevalue("kafka")
        log = f"kafka://{broker.bootstrap}"
    made = World(tmp_path, f"sqlite:///{tmp_path}/warehouse.db", log=log, prefix=f"killed-{uuid4().hex[:8]}")
    yield made
    made.close()


def test_kill_9_at_every_step(either: World) -> None:
    """Each death is the end of a run that has sent a batch already; the next process goes on, and dies elsewhere."""
    sync: Sync = sync_of(mode="mirror", key=["email", "id"], **OFF)
    dice = Random(7)
    either.people(10, 50)
    for moment, step in enumerate(STEPS):
        nth = 1 if step == "end" else 9 if step == "between two sends" else 2
        assert run_until(either.settings, sync, step, nth) == -signal.SIGKILL, step
        change_something(either, dice, moment)
        either.people(100 + 20 * moment, 119 + 20 * moment)
    for _ in range(2):  # the first goes on with what was cut off, the second finds what has changed since
        assert run_until(either.settings, sync, None, 0) == 0

    seen = Counter(event.id for event in either.deliver())
    assert [one for one, count in seen.items() if count > 1] == []
    assert either.destination == in_the_query(either)
