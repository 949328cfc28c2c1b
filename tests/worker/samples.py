"""Events, records, functions and assignments as the tests of this room need them."""

from __future__ import annotations

import itertools
import sqlite3
from pathlib import Path
from typing import Any

from connectors.contract import Function
from topics import names
from topics.event import codec
from topics.event.event import Event, Operation, Options, Replay
from topics.log import Commit, Partition, Record
from worker.engine.lane.assignment import Assignment, Delivery
from worker.engine.lane.lane import Lane
from worker.engine.progress.offsets import Progress

SLUG = "acme"
PARTITION = Partition(names.DEFAULT.events_topic(SLUG), 0)
UPSERT = Function("contact", Operation.UPSERT, idempotent=True)
ADD = Function("contact", Operation.ADD)


def event(offset: int = 0, key: str | None = None, **changes: Any) -> Event:
    values: dict[str, Any] = {
        "id": f"e{offset}",
        "operation": Operation.UPSERT,
        "connection": SLUG,
        "object": "contact",
        "key": key or f"k{offset}",
        "fields": {"n": offset},
    }
    return Event(**(values | changes))


def record(of: Event, offset: int = 0, partition: Partition = PARTITION) -> Record:
    return Record(partition, offset, 1_700_000_000_000, *codec.encode(of))


def assignment(commit: Commit | None = None, number: int = 0) -> Assignment:
    return Assignment(Partition(PARTITION.topic, number), Progress(commit))


def write_to_the_log(folder: Path, statement: str, *values: object) -> None:
    """Into the embedded log of a bench in this folder, as somebody does who was told to keep off."""
    connection = sqlite3.connect(folder / "log.db")
    with connection:
        connection.execute(statement, values)
    connection.close()


class Feed:
    """Puts events of one assignment into a lane, one offset after the other."""

    def __init__(self, lane: Lane, to: Assignment | None = None) -> None:
        self.lane = lane
        self.assignment = to or assignment()
        lane.adopt(self.assignment)
        self._offsets = itertools.count(self.assignment.progress.start)

    def put(
        self, key: str, function: Function = UPSERT, *, now: float = 0.0, backfill: bool = False, replay: bool = False
    ) -> Delivery:
        offset = next(self._offsets)
        of = event(
            offset,
            key,
            object=function.object,
            operation=function.operation,
            options=Options(backfill=backfill),
            replay=Replay(letter="l1") if replay else None,
        )
        assert self.assignment.progress.receive(offset)
        delivery = Delivery(record(of, offset, self.assignment.partition), of, function, self.assignment)
        self.lane.add(delivery, now)
        return delivery
