"""Brokers that go, workers that come and go, SIGTERM under load: the same reckoning as a quiet day."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from tests.acceptance import rig
from tests.kafka_broker import Broker

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]


@pytest.mark.kafka
def test_the_broker_goes_and_comes_back(tmp_path: Path, request: pytest.FixtureRequest, kafka: Broker) -> None:
    """A broker that is stopped and started again costs time and nothing else."""
    if not kafka.restartable:
        pytest.skip("the broker of KAFKA_BOOTSTRAP_SERVERS is not ours to stop")
    with rig.stage_on("kafka", tmp_path, request) as stage:
        crm = stage.sandbox("--latency", "0.2", name="crm")
        rig.connect(stage, "hubspot", crm, "--rate", "6", "--concurrency", "4")
        work = rig.days_work(8, 3_000, rig.existing_contacts(crm, 100))
        rig.emit(stage, work.events)
        worker = stage.worker("worker")
        rig.wait_until("the worker moves", lambda: rig.left(stage) < 2_900, within=60)
        kafka.stop()
        time.sleep(3)
        kafka.start()
        rig.wait_done(stage)
        stage.stop(worker)

        rig.reckon(stage, work, crm)
        rig.no_traceback(stage)


@pytest.mark.parametrize("engine", rig.ENGINES)
def test_a_second_worker_joins_and_leaves(engine: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Partitions move to and fro under load: each event is delivered, in its key's order, and none twice."""
    with rig.stage_on(engine, tmp_path, request) as stage:
        crm = stage.sandbox("--latency", "0.2", name="crm")
        chat = stage.sandbox("--slack-rate", "0", "--open-channels", name="chat")
        rig.connect(stage, "hubspot", crm, "--rate", "4", "--concurrency", "4")
        rig.connect(stage, "slack", chat)
        work = rig.days_work(9, 3_000, rig.existing_contacts(crm, 100), messages=300)
        rig.emit(stage, work.events)
        first = stage.worker("worker", name="first")
        rig.wait_until("the first works", lambda: rig.left(stage) < 2_900, within=60)
        second = stage.worker("worker", name="second")
        time.sleep(5)
        assert stage.stop(first) == 0
        third = stage.worker("worker", name="third")
        time.sleep(3)
        assert stage.stop(second) == 0
        rig.wait_done(stage)
        assert stage.stop(third) == 0

        rig.reckon(stage, work, crm, chat)
        for name in ("first", "second", "third"):
            rig.no_traceback(stage, name)


@pytest.mark.parametrize("engine", rig.ENGINES)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_under_load(
    engine: str, number: signal.Signals, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """A worker that is asked to stop lets its calls finish, ends with 0 in time, and the next one goes on."""
    with rig.stage_on(engine, tmp_path, request) as stage:
        crm = stage.sandbox("--latency", "0.4", name="crm")
        rig.connect(stage, "hubspot", crm, "--rate", "6", "--concurrency", "4")
        work = rig.days_work(10, 1_200, rig.existing_contacts(crm, 100))
        rig.emit(stage, work.events)
        worker = stage.worker("worker")
        rig.wait_until("the worker moves", lambda: rig.left(stage) < 1_100, within=60)
        began = time.monotonic()
        code = stage.stop(worker, number, within=25)
        took = time.monotonic() - began
        performed = len(rig.ledger_of(crm))
        done = 1_200 - rig.left(stage)
        second = stage.worker("worker")
        rig.wait_done(stage)
        stage.stop(second)

        assert code == 0
        assert took < 20
        assert done <= performed  # what was performed was committed
        rig.reckon(stage, work, crm)
        rig.no_traceback(stage)
