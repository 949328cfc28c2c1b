"""Events that other people's programs write to Kafka: in transactions, and compressed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from tests.acceptance import rig
from tests.kafka_broker import Broker
from tests.ports import free_port
from tests.topics.kafka.librdkafka import Transactions, write
from topics.event import codec
from topics.names import DEFAULT
from worker.demo.stage import Stage

pytestmark = [pytest.mark.acceptance, pytest.mark.kafka, pytest.mark.timeout(180)]


def test_what_was_rolled_back_is_not_delivered(tmp_path: Path, kafka: Broker, request: pytest.FixtureRequest) -> None:
    """Records of an aborted transaction never arrive, and its markers are nothing that waits, in any view."""
    with rig.stage_on("kafka", tmp_path, request) as stage:
        crm = stage.sandbox("--latency", "0.01")
        rig.connect(stage, "hubspot", crm)
        port = free_port()
        worker = stage.worker("worker", WRITEBACK_METRICS_PORT=str(port))
        transactions = Transactions(kafka.bootstrap)
        topic = DEFAULT.events_topic("hubspot")
        committed, rolled_back = rig.upserts("hubspot", 10), rig.upserts("hubspot", 5, first=10)
        transactions.commit(topic, *map(codec.encode, committed[:5]))
        transactions.abort(topic, *map(codec.encode, rolled_back))
        transactions.commit(topic, *map(codec.encode, committed[5:]))
        rig.wait_done(stage)

        end = len(committed) + len(rolled_back) + 3
        [lag] = [row for row in _json(stage, "topics", "lag") if row["connection"] == "hubspot"]
        assert lag == {"connection": "hubspot", "partition": 0, "done": end, "end": end, "waiting": 0}
        with urlopen(f"http://127.0.0.1:{port}/metrics") as metrics:
            assert 'writeback_lag_records{connection="hubspot",partition="0"} 0.0' in metrics.read().decode()
        assert _doctor(stage, "events hubspot") == {"check": "events hubspot", "state": "ok", "said": "nothing waits"}
        stage.stop(worker)
        received = crm.state()["hubspot"]["records"]["contacts"].values()

        assert {record["email"] for record in received} == {event.key for event in committed}
        assert {result.id for result in stage.results()} == {event.id for event in committed}
        assert rig.letters(stage) == []


@pytest.mark.parametrize("name", ["gzip", "snappy", "lz4", "zstd"])
def test_compressed_events_are_delivered(
    name: str, tmp_path: Path, kafka: Broker, request: pytest.FixtureRequest
) -> None:
    """A worker delivers what came compressed, and what came plain behind it."""
    with rig.stage_on("kafka", tmp_path, request) as stage:
        crm = stage.sandbox("--latency", "0.01")
        rig.connect(stage, "hubspot", crm)
        worker = stage.worker("worker")
        events = rig.upserts("hubspot", 50)
        write(kafka.bootstrap, DEFAULT.events_topic("hubspot"), *map(codec.encode, events), codec=name)
        rig.emit(stage, rig.upserts("hubspot", 1, first=50))
        rig.wait_done(stage)
        stage.stop(worker)

        assert len(crm.state()["hubspot"]["records"]["contacts"]) == 51


def _doctor(stage: Stage, check: str) -> object:
    return next(finding for finding in _json(stage, "doctor")["findings"] if finding["check"] == check)


def _json(stage: Stage, *command: str) -> Any:
    return json.loads(stage.writeback(*command, "--json", codes=(0, 1)).stdout)
