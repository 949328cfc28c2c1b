"""The stand: a broker, the destination, a store with connections, and whoever works through a topic on them."""

from __future__ import annotations

import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.structs import OffsetAndMetadata

from connectors.connections.store import Connections
from tests.benchmarks.far_end import FarEnd, Report
from tests.benchmarks.footprint import Footprint
from tests.benchmarks.processes import cpu_seconds
from topics import names
from topics.event import codec
from topics.event.event import Event
from topics.log import Log, Partition
from topics.store import open_store
from worker.demo.stage import WRITEBACK, Stage

Process = subprocess.Popen[bytes]
PATIENCE = 180.0
SETTLE = 0.3
"""Seconds after the last event in which a double would still be seen."""


@dataclass(frozen=True)
class Run:
    """``start_seconds``: from the start of the processes to the first request. CPU and rate: from then to the last.

    ``far_us``: what the destination cost meanwhile, on the same cores.
    """

    report: Report
    finished: bool
    start_seconds: float
    cpu_us: float
    far_us: float
    peak_mb: float

    @property
    def rate(self) -> float:
        return self.report.rate

    @property
    def wrong(self) -> int:
        """Events that are lost, doubled, or came out of order on their key."""
        return self.report.lost + self.report.doubled + self.report.disordered


class Stand:
    """``bootstrap``: the broker's address; without one, the embedded log."""

    def __init__(self, folder: Path, bootstrap: str, far: FarEnd) -> None:
        self.bootstrap = bootstrap
        self.far = far
        self.stage = Stage(folder, log=f"kafka://{bootstrap}" if bootstrap else "")
        self.stage.log.ensure_topics(names.DEFAULT.system_topics)

    @property
    def log(self) -> Log:
        return self.stage.log

    def connection(
        self, slug: str, connector: str, *, partitions: int = 1, concurrency: int = 256, url: str = "", **policy: Any
    ) -> None:
        """A connection without a rate limit, whose topic is there."""
        secrets = {"access_token": "secret"} if connector == "hubspot" else {}
        self.connections().add(
            slug, connector, settings={"base_url": url or self.far.url, "allow_private_addresses": True},
            secrets=secrets, partitions=partitions, limits={"rate": None, "concurrency": concurrency}, policy=policy,
        )  # fmt: skip
        self.ensure(slug, partitions)

    def ensure(self, slug: str, partitions: int = 1) -> None:
        self.log.ensure_topics([names.DEFAULT.events_spec(slug, partitions)])

    def connections(self) -> Connections:
        return Connections(open_store(self.stage._env["WRITEBACK_STORE"]), self.stage._env["WRITEBACK_SECRET_KEY"])

    def emit(self, events: Iterable[Event]) -> None:
        self.send((names.DEFAULT.events_topic(event.connection), codec.encode(event)) for event in events)

    def send(self, records: Iterable[tuple[str, codec.Encoded]]) -> None:
        """Records that are encoded already, each with its topic; returns when the log has them."""
        producer = self.log.producer()
        for topic, encoded in records:
            producer.send(topic, **encoded._asdict())
        producer.flush()
        producer.close()

    def drop(self, slug: str) -> None:
        """The topic goes, so that the next worker does not read it."""
        self.log.delete_topic(names.DEFAULT.events_topic(slug))

    def worker(self, group: str = "", *, processes: int = 1, trust: str = "") -> list[Process]:
        """A ``writeback worker`` that reads from the beginning, or goes on where that group was.

        ``trust``: the file of a certificate that it takes for good.
        """
        name = f"worker-{uuid.uuid4().hex[:8]}"
        if not group and self.bootstrap:
            self._read_from_the_beginning(name)
        more = () if processes == 1 else ("--processes", str(processes))
        env = {"WRITEBACK_GROUP": group or name, "WRITEBACK_LOG_LEVEL": "warning", **_trusting(trust)}
        return [self.stage.start(*WRITEBACK, "worker", *more, name=name, **env)]

    def _read_from_the_beginning(self, group: str) -> None:
        """Commits for a new group: without any it would hold a topic that another has worked through."""
        topics = self.log.topics(names.DEFAULT.events_prefix)
        starts = self.log.start_offsets([Partition(topic, n) for topic, count in topics.items() for n in range(count)])
        consumer = KafkaConsumer(bootstrap_servers=self.bootstrap, group_id=group, enable_auto_commit=False)
        consumer.commit({TopicPartition(p.topic, p.number): OffsetAndMetadata(at, "", -1) for p, at in starts.items()})
        consumer.close()

    def script(self, text: str, name: str, *arguments: str) -> Process:
        """A user's script, running; what it prints is in ``<name>.out``."""
        path = self.stage.folder / f"{name}.py"
        path.write_text(text)
        return self.stage.start(sys.executable, str(path), *arguments, name=name)

    def limit(
        self, kind: str, events: int, keys: int, concurrency: int = 256, *, url: str = "", trust: str = ""
    ) -> list[Process]:
        arguments = [
            "-m",
            "tests.benchmarks.limit",
            kind,
            url or self.far.url,
            str(events),
            str(keys),
            str(concurrency),
        ]
        return [self.stage.start(sys.executable, *arguments, name=f"limit-{kind}", **_trusting(trust))]

    def close(self) -> None:
        self.stage.__exit__(None, None, None)


def _trusting(certificate: str) -> dict[str, str]:
    return {"SSL_CERT_FILE": certificate} if certificate else {}


@contextmanager
def stand(folder: Path, bootstrap: str) -> Iterator[Stand]:
    with FarEnd() as far:
        made = Stand(folder, bootstrap, far)
        try:
            yield made
        finally:
            made.close()


def measure(
    far: FarEnd, events: int, start: Callable[[], list[Process]], *, patience: float = PATIENCE, **script: Any
) -> Run:
    """Start it, wait until every event has arrived, and end it."""
    far.reset(events, **script)
    began = time.monotonic()
    processes = start()
    try:
        return follow(far, processes, began, patience)
    finally:
        stop(processes)


def follow(far: FarEnd, processes: list[Process], began: float, patience: float = PATIENCE) -> Run:
    """Watch processes that have started, from the first request until every event has arrived."""
    pids = [process.pid for process in processes]
    with Footprint(pids) as footprint:
        first = _await(far.wait_first, processes, patience)
        start_seconds = time.monotonic() - began
        before, far_before = cpu_seconds(pids), cpu_seconds([far.pid])
        done = first and _await(far.wait_done, processes, patience)
        cpu, far_cpu = cpu_seconds(pids) - before, cpu_seconds([far.pid]) - far_before
        time.sleep(SETTLE)
    report = far.report()
    each = 1e6 / max(1, report.settled)
    return Run(report, done, start_seconds, cpu * each, far_cpu * each, footprint.peak_mb)


def _await(event: Callable[[float], bool], processes: list[Process], patience: float) -> bool:
    """Wait for the destination. Raises ``RuntimeError`` when a process fails meanwhile."""
    until = time.monotonic() + patience
    while time.monotonic() < until:
        if event(2.0):
            return True
        for process in processes:
            if process.poll():
                raise RuntimeError(f"{process.args!r} ended with {process.returncode}")
    return False


def stop(processes: list[Process]) -> None:
    for process in processes:
        if process.poll() is None:
            process.terminate()
    for process in processes:
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
