"""A hundred records wait for an hour while a million others pass them by, on a real broker, whoever comes and goes."""

from __future__ import annotations

import json
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance import rig
from tests.acceptance.lean_server import answer, serving
from topics import names
from topics.event import codec
from topics.event.event import Event, Operation
from topics.log import METADATA_BUDGET, Partition
from topics.open import open_log
from worker.demo.stage import Stage
from worker.engine.progress.metadata import Tries, decode

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(1_200), pytest.mark.kafka]

WAITING = 100
OFFSETS = int(os.environ.get("WRITEBACK_TEST_OFFSETS", "1000000" if os.environ.get("WRITEBACK_TEST_LONG") else "30000"))
HOUR = 3_600.0
PARTITIONS = 2


class Crm:
    """HubSpot's batch upsert of contacts, counted one by one; every company is locked for an hour."""

    def __init__(self) -> None:
        self.contacts = bytearray(OFFSETS)
        self.companies: Counter[str] = Counter()
        self.done = 0

    def __call__(self, method: str, path: str, body: bytes) -> bytes:
        if path.endswith("/contacts/batch/upsert"):
            results = ",".join([self._upsert(each) for each in json.loads(body)["inputs"]])
            return answer(f'{{"status":"COMPLETE","results":[{results}]}}'.encode())
        if "/companies" in path:
            single = path.rsplit("/", 1)[1]
            self.companies.update(
                [single] if method == "PATCH" else [each["id"] for each in json.loads(body)["inputs"]]
            )
            return answer(b'{"message":"locked"}', status="423 Locked", headers=f"Retry-After: {HOUR:.0f}\r\n")
        return answer()

    def _upsert(self, contact: dict[str, Any]) -> str:
        number = int(contact["properties"]["n"])
        self.done += not self.contacts[number]
        self.contacts[number] = min(self.contacts[number] + 1, 255)
        trace, email = contact["objectWriteTraceId"], contact["id"]
        return (
            f'{{"id":"{number}","new":false,"objectWriteTraceId":"{trace}","properties":{{"email":"{email}"}},'
            '"createdAt":"2026-01-01T00:00:00.000Z","archived":false}'
        )


@dataclass
class Commits:
    """What was read back from the broker: the longest metadata, and the newest memory of each partition."""

    samples: int = 0
    longest: int = 0
    waits: dict[tuple[int, int], Tries] = field(default_factory=dict)
    """By partition and offset: as first seen."""
    changed: list[str] = field(default_factory=list)
    latest: dict[int, dict[int, Tries]] = field(default_factory=dict)

    def add(self, number: int, offset: int, metadata: str) -> None:
        self.samples += 1
        self.longest = max(self.longest, len(metadata.encode()))
        tries = {at: one for at, one in decode(offset, metadata).tries.items() if one.due}
        self.latest[number] = tries
        for at, one in tries.items():
            if (known := self.waits.setdefault((number, at), one)) != one:
                self.changed.append(f"{number}:{at}: {known} became {one}")


@contextmanager
def read_back(stage: Stage) -> Iterator[Commits]:
    """Every new commit that can be seen, several times a second."""
    commits, stop = Commits(), threading.Event()
    partitions = [Partition(names.DEFAULT.events_topic("hubspot"), number) for number in range(PARTITIONS)]

    def read() -> None:
        log = open_log(stage.log_url)
        while not stop.wait(0.1):
            for partition, commit in log.committed(names.DEFAULT.worker_group, partitions).items():
                if commit is not None:
                    commits.add(partition.number, commit.offset, commit.metadata)
        log.close()

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield commits
    finally:
        stop.set()
        thread.join()


def test_a_hundred_wait_among_a_million(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """The metadata stays within its budget at every commit; a worker that dies and one that joins forget no wait."""
    crm = Crm()
    with rig.stage_on("kafka", tmp_path, request) as stage, serving(crm) as url:
        options = ("--concurrency", "8", "--rate", "100000", "--partitions", str(PARTITIONS))
        rig.connect(stage, "hubspot", url, *options)
        companies = _emit(stage)
        started = time.monotonic()
        with read_back(stage) as commits:
            worker = stage.worker("worker", WRITEBACK_LOG_LEVEL="warning")
            rig.wait_until("a third is done", lambda: crm.done > OFFSETS // 3, within=400)
            remembered = {companies[place] for place in list(commits.waits)}
            worker.kill()
            worker.wait()
            asked = set(crm.companies)
            worker = stage.worker("worker", name="next", WRITEBACK_LOG_LEVEL="warning")
            rig.wait_until("two thirds are done", lambda: crm.done > 2 * OFFSETS // 3, within=400)
            joining = stage.worker("worker", name="joining", WRITEBACK_LOG_LEVEL="warning")
            rig.wait_until("all others are done", lambda: crm.done == OFFSETS, within=400)
            seconds = time.monotonic() - started
            rig.wait_until(
                "that is committed", lambda: rig.left(stage, "hubspot") >= 0 and _settled(commits), within=60
            )
            stage.stop(joining)
            stage.stop(worker)
            rig.wait_until("the last commits are read", lambda: _settled(commits), within=60)
            time.sleep(0.5)

    doubles = sum(times > 1 for times in crm.contacts)
    print(
        f"{OFFSETS:,} delivered in {seconds:.0f} s past {WAITING} waiting, {doubles} of them twice (after kill -9); "
        f"{commits.samples} commits read back, at most {commits.longest} bytes of metadata"
    )
    assert min(crm.contacts) == 1
    assert (
        doubles <= 10_000
    )  # an upsert may be repeated: what was done and not yet committed when the worker was killed
    assert max(crm.contacts) <= 2
    assert commits.longest <= METADATA_BUDGET
    assert commits.changed == []
    assert sum(len(tries) for tries in commits.latest.values()) == WAITING
    assert {round((one.due - one.first_at) / HOUR, 1) for one in commits.waits.values()} == {1.0}
    assert len(crm.companies) == WAITING
    # Only what was asked before the kill, and whose wait no commit held yet, may be asked again.
    assert {company for company, times in crm.companies.items() if times > 1} <= asked - remembered
    assert max(crm.companies.values()) <= 2
    assert remembered
    assert {one.spent for one in commits.waits.values()} <= {1, 2}
    for name in ("worker", "next", "joining"):
        rig.no_traceback(stage, name)


def _settled(commits: Commits) -> bool:
    return sum(len(tries) for tries in commits.latest.values()) == WAITING


def _emit(stage: Stage) -> dict[tuple[int, int], str]:
    """A company to be locked, then its part of the contacts, a hundred times; behind them nothing.

    Gives the companies by partition and offset.
    """
    topic = names.DEFAULT.events_topic("hubspot")
    producer = stage.log.producer()
    part = OFFSETS // WAITING
    companies = {}
    for number in range(OFFSETS):
        if number % part == 0:
            company = _company(number // part)
            companies[str(company.key)] = producer.send(topic, **codec.encode(company)._asdict())
        producer.send(topic, **codec.encode(_contact(number))._asdict())
    producer.flush()
    producer.close()
    places = {company: sent.result() for company, sent in companies.items()}
    return {(place.partition.number, place.offset): company for company, place in places.items()}


def _company(number: int) -> Event:
    fields = {"id": str(number), "description": "later"}
    return Event(operation=Operation.UPDATE, connection="hubspot", object="company", key=str(number), fields=fields)


def _contact(number: int) -> Event:
    email = f"u{number}@x.example"
    fields = {"email": email, "n": number}
    return Event(operation=Operation.UPSERT, connection="hubspot", object="contact", key=email, fields=fields)
