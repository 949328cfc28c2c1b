"""Workers that are ready before they are measured: loaded, in their group, with connections open to the destination.

Then they stand still (SIGSTOP) while their topics are filled, so that all of them begin at the same moment, with
everything still to be read. A second process that is still starting would be measured as a slow one.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from kafka import KafkaAdminClient
from kafka.errors import CoordinatorNotAvailableError

from tests.benchmarks.processes import tree
from tests.benchmarks.stand import Process, Run, Stand, follow, stop
from topics import names
from topics.event import codec
from topics.event.event import Event

WARM = 2_000
PATIENCE = 60.0
STILL_SECONDS = 4.0
"""Their group would give them up after six; on a machine that is so slow they begin while their topics are filled."""


def measure_ready(stand: Stand, make: Callable[[int], Event], events: int, processes: int, **script: Any) -> Run:
    """``make``: the event of a number. Raises ``RuntimeError`` when the workers do not get ready."""
    group = f"ready-{processes}-{time.time_ns()}"
    records = [
        (names.DEFAULT.events_topic(event.connection), codec.encode(event)) for event in map(make, range(events))
    ]
    stand.far.reset(1, **script)
    workers = stand.worker(group, processes=processes)
    try:
        _wait_members(stand, group, workers, processes)
        warm = min(WARM, events)
        stand.far.reset(warm, **script)
        stand.send(records[:warm])
        if not stand.far.wait_done(PATIENCE):
            raise RuntimeError(f"the workers got {stand.far.report().settled} of {warm} events through in a minute")
        stand.far.reset(events, **script)
        with _standing_still(workers):
            stand.send(records)
        return follow(stand.far, workers, time.monotonic())
    finally:
        stop(workers)


@contextmanager
def _standing_still(workers: list[Process]) -> Iterator[None]:
    pids = tree(worker.pid for worker in workers)
    _all(pids, signal.SIGSTOP)
    alarm = threading.Timer(STILL_SECONDS, _all, (pids, signal.SIGCONT))
    alarm.start()
    try:
        yield
    finally:
        alarm.cancel()
        _all(pids, signal.SIGCONT)


def _all(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        os.kill(pid, number)


def _wait_members(stand: Stand, group: str, workers: list[Process], count: int) -> None:
    admin = KafkaAdminClient(bootstrap_servers=stand.bootstrap)
    until = time.monotonic() + PATIENCE
    try:
        while time.monotonic() < until:
            if _members(admin, group) == count:
                return
            for worker in workers:
                if worker.poll() is not None:
                    raise RuntimeError(f"{worker.args!r} ended with {worker.returncode}")
            time.sleep(0.2)
    finally:
        admin.close()
    raise RuntimeError(f"the {count} workers did not all join {group} within {PATIENCE:.0f} s")


def _members(admin: KafkaAdminClient, group: str) -> int:
    """How many there are, when they have agreed on who reads what."""
    try:
        described = admin.describe_groups([group])[group]
    except CoordinatorNotAvailableError:
        return 0  # the broker's first group: it makes the topic of the offsets now
    return len(described["members"]) if described["group_state"] == "Stable" else 0
