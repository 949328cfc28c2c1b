"""Emitting through ``pq`` against a raw kafka-python producer that sends the same records; and ``writeback --help``."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator

from tests.benchmarks.figures import Figure
from tests.benchmarks.sizes import Sizes
from tests.benchmarks.stand import Stand
from worker.demo.stage import WRITEBACK

PQ = """
import json, sys, time
import pq
events = int(sys.argv[1])
api = pq.connect("emit")
api.update("record", path="records/k", body={"n": 0})
pq.flush()
began = time.perf_counter()
for n in range(events):
    api.update("record", path=f"records/k{n % 1000}", body={"n": n, "firstname": f"name {n}"})
pq.flush()
print(json.dumps(events / (time.perf_counter() - began)))
"""

RAW = """
import json, sys, time
from kafka import KafkaProducer
from topics.event import codec
from topics.event.event import Event, Operation, Options
events = int(sys.argv[1])
records = []
for n in range(events):
    path = f"records/k{n % 1000}"
    fields = {"path": path, "body": {"n": n, "firstname": f"name {n}"}}
    event = Event(operation=Operation.UPDATE, connection="emit", object="record", key=path, fields=fields,
                  source="script", options=Options(reply_to=0))
    key, value, headers = codec.encode(event)
    records.append((key, value, list(headers)))
producer = KafkaProducer(bootstrap_servers=sys.argv[2], acks="all", enable_idempotence=True, batch_size=131_072)
producer.send("writeback.events.emit", key=b"k", value=b"{}").get(30)
began = time.perf_counter()
for key, value, headers in records:
    producer.send("writeback.events.emit", key=key, value=value, headers=headers)
producer.flush()
print(json.dumps(events / (time.perf_counter() - began)))
"""


def figures(stand: Stand, sizes: Sizes) -> Iterator[Figure]:
    stand.connection("emit", "http")
    ours, raw = [], []
    for number in range(sizes.rounds):
        raw.append(_rate(stand, RAW, f"raw-{number}", sizes.emitted))
        ours.append(_rate(stand, PQ, f"pq-{number}", sizes.emitted))
    stand.drop("emit")
    case = "emitting"
    yield Figure(case, "kafka-python producer, encoded before", "rate", "events/s", tuple(raw))
    yield Figure(case, "pq, one line each", "rate", "events/s", tuple(ours))
    ratios = tuple(mine / theirs for mine, theirs in zip(ours, raw, strict=True))
    yield Figure(case, "pq, one line each", "x kafka-python", "", ratios, at_least=0.8)
    helps = tuple(_help_seconds() for _ in range(sizes.helps))
    yield Figure("command line", "writeback --help", "time", "s", helps, at_most=0.3)


def _rate(stand: Stand, script: str, name: str, events: int) -> float:
    process = stand.script(script, name, str(events), stand.bootstrap)
    process.wait(120)
    out = (stand.stage.folder / f"{name}.out").read_text()
    if process.returncode:
        raise RuntimeError((stand.stage.folder / f"{name}.log").read_text())
    rate: float = json.loads(out)
    return rate


def _help_seconds() -> float:
    began = time.perf_counter()
    subprocess.run([*WRITEBACK, "--help"], check=True, capture_output=True)
    return time.perf_counter() - began
