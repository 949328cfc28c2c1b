"""A rolling restart of three workers under load: each event is delivered once, and nothing stands still for long."""

from __future__ import annotations

import subprocess
import threading
import time
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import pytest

from tests.acceptance import rig
from topics import names
from topics.event import codec
from topics.event.event import Event
from worker.demo.stage import Sandbox, Stage

pytestmark = [pytest.mark.acceptance, pytest.mark.kafka, pytest.mark.timeout(180)]

PARTITIONS = 6
PER_SECOND = 60
WORKERS = ("first", "second", "third")
LENIENT = 8.0
"""Seconds that a partition may stand still on a busy machine; on a quiet one it is about 1."""


class Load(threading.Thread):
    """Adds of new contacts at a steady rate, until it is told to stop. ``places``: the partition of each."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(daemon=True)
        self.events: list[Event] = []
        self.places: dict[str, int] = {}
        self._stage = stage
        self._enough = threading.Event()

    def run(self) -> None:
        producer = self._stage.log.producer()
        sent = []
        while not self._enough.wait(1 / PER_SECOND):
            event = rig.adds("hubspot", [f"new{len(self.events)}@x.example"])[0]
            record = codec.encode(event)
            topic = names.DEFAULT.events_topic("hubspot")
            sent.append(producer.send(topic, key=record.key, value=record.value, headers=record.headers))
            self.events.append(event)
        producer.close()
        places = [future.result().partition.number for future in sent]
        self.places = {str(event.key): place for event, place in zip(self.events, places, strict=True)}

    def stop(self) -> None:
        self._enough.set()
        self.join()


@pytest.mark.parametrize("static", [False, True], ids=["dynamic", "static"])
def test_a_rolling_restart(
    static: bool, tmp_path: Path, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    """One after the other is stopped and started again; no event is lost or doubled, no partition waits for long."""
    steps = []
    with rig.stage_on("kafka", tmp_path, request) as stage:
        crm = stage.sandbox("--latency", "0.05", name="crm")
        rig.connect(stage, "hubspot", crm, "--rate", "1000", "--concurrency", "8", "--partitions", str(PARTITIONS))
        workers = {name: _start(stage, name, static=static) for name in WORKERS}
        rig.wait_until("all three have partitions", lambda: all(_assigned(stage, name) for name in WORKERS), within=60)
        load = Load(stage)
        load.start()
        _flow(crm, 2 * PER_SECOND)
        for name in WORKERS:
            before = _assigned(stage, name)
            began = time.monotonic()
            assert stage.stop(workers[name]) == 0
            ended = time.monotonic()
            workers[name] = _start(stage, name, static=static)
            _come_back(stage, name, before)
            steps.append(f"{ended - began:.2f} + {time.monotonic() - ended:.2f}")
            _flow(crm, PER_SECOND)
        load.stop()
        rig.wait_done(stage)
        for worker in workers.values():
            stage.stop(worker)

        _check_once(stage, crm, load)
        pauses = _pauses(crm, load)
        with capsys.disabled():
            kind = "static" if static else "dynamic"
            print(f"\n{kind} members; longest pause of each partition: {_seconds(pauses)} s")
            print(f"a worker's stop + its start until it has partitions: {', '.join(steps)} s")
        assert len(pauses) == PARTITIONS
        assert max(pauses) < LENIENT
        for name in WORKERS:
            rig.no_traceback(stage, name)


def _start(stage: Stage, name: str, *, static: bool) -> subprocess.Popen[bytes]:
    member = {"WRITEBACK_MEMBER": name} if static else {}
    return stage.worker("worker", name=name, **member)


def _assigned(stage: Stage, name: str) -> int:
    """How often a partition was given to this worker."""
    return len(rig.said(stage, name, event="partition.assigned"))


def _come_back(stage: Stage, name: str, before: int) -> None:
    rig.wait_until(f"{name} is back", lambda: _assigned(stage, name) > before, within=60)


def _flow(crm: Sandbox, more: int) -> None:
    reached = crm.state()["requests"] + more
    rig.wait_until("the load flows", lambda: crm.state()["requests"] >= reached, within=60)


def _check_once(stage: Stage, crm: Sandbox, load: Load) -> None:
    created = [entry["unique"] for entry in crm.ledger() if entry["operation"] == "create"]
    results = stage.results()

    missing = {event.id: str(event.key) for event in load.events if str(event.key) not in created}
    told = [result for result in results if result.id in missing]
    assert not missing, f"not created: {missing.values()} of {[load.places[key] for key in missing.values()]}; {told}"
    assert sorted(created) == sorted(str(event.key) for event in load.events)
    assert {result.outcome for result in results} == {"delivered"}
    assert {result.id for result in results} == {event.id for event in load.events}


def _seconds(pauses: list[float]) -> str:
    return ", ".join(f"{pause:.2f}" for pause in sorted(pauses))


def _pauses(crm: Sandbox, load: Load) -> list[float]:
    """The longest time between two calls of each partition."""
    times = defaultdict(list)
    for entry in crm.ledger():
        if entry["operation"] == "create":
            times[load.places[entry["unique"]]].append(entry["received"])
    return [max(later - earlier for earlier, later in pairwise(sorted(each))) for each in times.values()]
