"""Half a minute of everything that goes wrong at once, on a real Kafka; at the end the reckoning is exact."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance import rig
from tests.kafka_broker import Broker
from topics import names
from topics.event import codec
from topics.event.event import Event
from topics.kafka.client import SESSION_MS
from worker.demo.stage import Sandbox, Stage

SECONDS = 300.0 if os.environ.get("WRITEBACK_TEST_LONG") else 30.0
SEED = int(os.environ.get("WRITEBACK_TEST_SEED", "1"))
PER_SECOND = 60
WORKERS = 3
SESSION = SESSION_MS / 1_000
"""Seconds that the group waits for a member: who sleeps longer wakes up and owns nothing any more."""

pytestmark = [pytest.mark.acceptance, pytest.mark.kafka, pytest.mark.timeout(SECONDS + 240)]


def test_everything_goes_wrong_at_once(tmp_path: Path, request: pytest.FixtureRequest, kafka: Broker) -> None:
    """kill -9, SIGSTOP, a broker's restart and outages of the vendors, under load: nothing lost, doubled, overtaken."""
    print(f"WRITEBACK_TEST_SEED={SEED}")
    dice = random.Random(SEED)
    with rig.stage_on("kafka", tmp_path, request) as stage:
        faults = ("--fail", "dropped_performed=0.01", "--fail", "dropped=0.01", "--fail", "throttled=0.01")
        crm = stage.sandbox("--latency", "0.1", "--seed", str(SEED), *faults, "--fail", "retry_after=0.2", name="crm")
        chat = stage.sandbox("--latency", "0.1", "--slack-rate", "0", "--open-channels", name="chat")
        rig.connect(stage, "hubspot", crm, "--rate", "60", "--concurrency", "12", "--partitions", "3")
        rig.connect(stage, "slack", chat)
        count = int(SECONDS * PER_SECOND)
        work = rig.days_work(SEED, count, rig.existing_contacts(crm, 200), messages=count // 10)
        load = threading.Thread(target=_emit_slowly, args=(stage, _interleaved(work.events)), daemon=True)
        trouble = Trouble(stage, dice, kafka, (crm, chat))
        load.start()
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            time.sleep(dice.uniform(0.5, 2.0))
            trouble.next()
        trouble.end()
        load.join()
        rig.wait_done(stage, within=180)
        for worker in trouble.workers.values():
            stage.stop(worker)

        print("; ".join(trouble.told))
        rig.reckon(stage, work, crm, chat)
        for name in trouble.workers:
            rig.no_traceback(stage, name)


def _interleaved(events: list[Event]) -> list[Event]:
    """Both applications from the beginning to the end; each in its own order."""
    messages = [event for event in events if event.connection == "slack"]
    others = [event for event in events if event.connection != "slack"]
    placed = [(place / len(some), event) for some in (messages, others) for place, event in enumerate(some)]
    return [event for _, event in sorted(placed, key=lambda each: each[0])]


def _emit_slowly(stage: Stage, events: list[Event]) -> None:
    """At a steady rate, whatever becomes of the broker."""
    producer = stage.log.producer()
    for event in events:
        record = codec.encode(event)
        topic = names.DEFAULT.events_topic(event.connection)
        producer.send(topic, key=record.key, value=record.value, headers=record.headers)
        time.sleep(1 / PER_SECOND)
    producer.flush()
    producer.close()


class Trouble:
    """Does the next bad thing that the dice say, and puts everything right at the end."""

    def __init__(self, stage: Stage, dice: random.Random, broker: Broker, sandboxes: tuple[Sandbox, ...]) -> None:
        self.workers = {name: stage.worker("worker", name=name) for name in (f"worker{n}" for n in range(WORKERS))}
        self.told: list[str] = []
        self._stage, self._dice, self._broker, self._sandboxes = stage, dice, broker, sandboxes
        self._asleep: dict[str, threading.Timer] = {}
        self._restart: threading.Thread | None = None
        self._began = time.monotonic()
        self._deeds: list[Callable[[], str]] = [self._kill, self._kill, self._stop, self._stop, self._outage]
        if broker.restartable:
            self._deeds.append(self._restart_broker)

    def next(self) -> None:
        self._do(self._dice.choice(self._deeds))

    def end(self) -> None:
        if self._restart_broker in self._deeds:
            self._do(self._restart_broker)
        if self._restart is not None:
            self._restart.join()
        for name in list(self._asleep):
            self._wake(name)

    def _do(self, deed: Callable[[], str]) -> None:
        at = time.monotonic() - self._began
        self.told.append(f"{at:.1f} s: {deed()}")

    def _kill(self) -> str:
        name = self._dice.choice(sorted(self.workers))
        self._forget(name)
        self.workers[name].kill()
        self.workers[name].wait()
        self.workers[name] = self._stage.worker("worker", name=name)
        return f"kill -9 {name}"

    def _stop(self) -> str:
        name = self._dice.choice(sorted(self.workers))
        seconds = self._dice.choice([self._dice.uniform(0.5, 3.0), self._dice.uniform(SESSION + 0.5, SESSION + 3.0)])
        if name in self._asleep:
            return f"{name} sleeps on"
        self.workers[name].send_signal(signal.SIGSTOP)
        self._asleep[name] = threading.Timer(seconds, self._wake, (name,))
        self._asleep[name].start()
        return f"SIGSTOP {name} for {seconds:.1f} s"

    def _wake(self, name: str) -> None:
        if self._forget(name):
            self.workers[name].send_signal(signal.SIGCONT)

    def _forget(self, name: str) -> bool:
        timer = self._asleep.pop(name, None)
        if timer is not None:
            timer.cancel()
        return timer is not None

    def _outage(self) -> str:
        number = self._dice.randrange(len(self._sandboxes))
        kind, seconds = self._dice.choice(["refuse", "unavailable"]), self._dice.uniform(0.5, 2.0)
        try:
            self._sandboxes[number].faults(outage={"seconds": seconds, "kind": kind})
        except OSError:
            return "an outage within an outage"
        return f"sandbox {number} is out for {seconds:.1f} s: {kind}"

    def _restart_broker(self) -> str:
        self._deeds.remove(self._restart_broker)
        end, seconds = self._dice.choice([self._broker.kill, self._broker.stop]), self._dice.uniform(0.0, 2.0)
        self._restart = threading.Thread(target=self._come_back, args=(end, seconds), daemon=True)
        self._restart.start()
        return f"the broker goes ({end.__name__}) for {seconds:.1f} s"

    def _come_back(self, end: Callable[[], None], seconds: float) -> None:
        end()
        time.sleep(seconds)
        self._broker.start()
