"""kill -9 under load, at a destination that cannot be asked: only what may really have been sent is under suspicion."""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.acceptance import rig
from tests.acceptance.lean_server import answer, serving
from tests.benchmarks.work import single
from topics.event.event import Operation
from worker.demo.stage import Stage

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(240)]

LATENCY = 0.05
COMMITTED = 0.1
"""Seconds after an answer from which no event is suspected any more: a commit knows it.

On a machine that has more to do than it can, a commit takes as much longer.
"""
KEYS = 1_000
AT_ONCE = 16
"""The default concurrency."""


@dataclass
class Destination:
    """Notes when each event of each connection came and was answered; ``half``: set when so many requests have come."""

    half_at: int
    asked: dict[str, dict[int, list[float]]] = field(default_factory=dict)
    answered: dict[str, dict[int, float]] = field(default_factory=dict)
    half: threading.Event = field(default_factory=threading.Event)
    _count: int = 0

    def __call__(self, method: str, path: str, body: bytes) -> bytes:
        event = json.loads(body or b"{}")
        if "n" in event:
            slug, n = path.split("/")[1], event["n"]
            self.asked.setdefault(slug, {}).setdefault(n, []).append(time.monotonic())
            asyncio.get_running_loop().call_later(LATENCY, self._answered, slug, n)
            self._count += 1
            if self._count >= self.half_at:
                self.half.set()
        return answer()

    def _answered(self, slug: str, n: int) -> None:
        self.answered.setdefault(slug, {}).setdefault(n, time.monotonic())


@dataclass(frozen=True)
class Reckoning:
    """What became of one connection's events. Offsets do not matter here: events are known by their number."""

    requested: int
    in_flight: int
    letters: int
    never_sent: int
    answered_long_before: int
    doubled: int
    lost: int


def crash(
    stage: Stage, policies: list[str], *, partitions: int, events: int, concurrency: int | None = None
) -> list[Reckoning]:
    """Adds for a connection per policy, a worker that is killed half-way, and the next one, which ends them."""
    destination = Destination(events * len(policies) // 2)
    slugs = {f"erp{number}": policy for number, policy in enumerate(policies)}
    with serving(destination, latency=LATENCY) as url:
        for slug, policy in slugs.items():
            at_once = () if concurrency is None else ("--concurrency", str(concurrency))
            stage.writeback(
                "connections", "add", slug, "--connector", "http", "--set", f"base_url={url}/{slug}",
                "--set", "allow_private_addresses=true", "--on-unknown", f"add={policy}",
                "--partitions", str(partitions), "--no-test", *at_once,
            )  # fmt: skip
        work = [single(slug, n, KEYS, operation=Operation.ADD) for n in range(events) for slug in slugs]
        number_of = {event.id: event.fields["body"]["n"] for event in work}
        rig.emit(stage, work)
        worker = stage.worker("worker")
        assert destination.half.wait(90)
        killed = time.monotonic()
        worker.kill()
        worker.wait()
        time.sleep(4 * LATENCY)  # what was asked for is answered
        before = {slug: dict(of) for slug, of in destination.answered.items()}
        worker = stage.worker("worker")
        rig.wait_done(stage)
        stage.stop(worker)
        rig.no_traceback(stage)
        lettered: dict[str, set[int]] = {slug: set() for slug in slugs}
        for letter in rig.letters(stage):
            assert letter["letter"]["verdict"] == "unknown-outcome"
            lettered[letter["letter"]["connection"]].add(number_of[letter["letter"]["event_id"]])
        return [_reckon(before[slug], destination.asked[slug], lettered[slug], killed, events) for slug in slugs]


def _reckon(
    answered: dict[int, float], after: dict[int, list[float]], lettered: set[int], killed: float, events: int
) -> Reckoning:
    patience = COMMITTED * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
    times = Counter({n: len(of) for n, of in after.items()})
    return Reckoning(
        requested=len(answered),
        in_flight=sum(at > killed for at in answered.values()),
        letters=len(lettered),
        never_sent=len(lettered - answered.keys()),
        answered_long_before=sum(answered.get(n, killed) < killed - patience for n in lettered),
        doubled=sum(count - 1 for count in times.values()),
        lost=events - len(times.keys() | lettered),
    )


def check(reckoning: Reckoning, policy: str, concurrency: int) -> None:
    print(f"{policy}, {concurrency} at once: {reckoning}")
    assert reckoning.lost == 0
    if policy == "retry":
        assert reckoning.letters == 0
        assert reckoning.doubled <= concurrency
    else:
        assert reckoning.doubled == 0
        assert reckoning.letters <= 2 * concurrency
        assert reckoning.answered_long_before == 0


@pytest.mark.parametrize("policies", [["dead_letter"], ["dead_letter", "retry"]], ids="+".join)
@pytest.mark.parametrize("partitions", [1, 8])
@pytest.mark.parametrize("engine", rig.ENGINES)
def test_a_kill_suspects_what_was_out_and_one_window(
    engine: str, partitions: int, policies: list[str], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """At the defaults: at most 32 letters, none of what was answered long before; at most 16 doubles."""
    with rig.stage_on(engine, tmp_path, request) as stage:
        for policy, reckoning in zip(policies, crash(stage, policies, partitions=partitions, events=600), strict=True):
            check(reckoning, policy, AT_ONCE)
