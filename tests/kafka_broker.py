"""A real Apache Kafka for tests and for ``make kafka``, from whatever this machine has.

In this order: ``KAFKA_BOOTSTRAP_SERVERS``, if it is set; a running Docker engine with ``compose.yaml``; else Java 17+
and Maven: the broker's jars are copied once into a cache folder, formatted and started in KRaft mode on free loopback
ports. ``find_broker`` raises ``NoBroker``, whose one line says what to install, when there is none of the three.
"""

from __future__ import annotations

import base64
import fcntl
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from tests.ports import free_port

ROOT = Path(__file__).parent.parent
CACHE = Path(os.environ.get("KAFKA_TEST_CACHE", Path.home() / ".cache" / "writeback" / "kafka"))
VERSIONS = ("4.4.0", "4.3.1", "4.3.0", "4.2.0", "4.1.1", "4.1.0", "4.0.1", "4.0.0")
START_SECONDS = 90.0
STOP_SECONDS = 30.0
SUPERVISOR = '"$@" & pid=$!; echo $pid; read -r _; kill $pid 2>/dev/null; wait $pid'
"""The broker ends when its parent does, however the parent ends: the pipe that ``read`` waits on closes."""

SHORT_LIVED = "-XX:TieredStopAtLevel=1"
"""For a JVM that carries few records: half the CPU, most of which went into compiling. Not for measurements."""

POM = """<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>writeback</groupId><artifactId>broker</artifactId><version>1</version><dependencies>
<dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId>
<version>2.25.3</version></dependency>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{version}</version></dependency>
</dependencies></project>
"""

LOG4J = """status=error
appender.console.type=Console
appender.console.name=console
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=%d{HH:mm:ss,SSS} %p %m (%c{1})%n
rootLogger.level=warn
rootLogger.appenderRef.console.ref=console
"""

PROPERTIES = """process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
log.dirs={data}
auto.create.topics.enable=false
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
log.cleaner.dedupe.buffer.size=16777216
"""


B = TypeVar("B", bound="Broker")


class NoBroker(Exception):
    """No Kafka can be had on this machine; the message says what to install."""


class Broker(ABC):
    """A Kafka that tests may stop and start again; its address and its data stay the same."""

    bootstrap: str
    restartable = True

    @abstractmethod
    def start(self) -> None:
        """Returns when clients can connect."""

    @abstractmethod
    def stop(self) -> None:
        """In good order. Safe to call twice."""

    @abstractmethod
    def kill(self) -> None:
        """As a power cut would: no shutdown work is done."""

    def restart(self) -> None:
        self.stop()
        self.start()

    def close(self) -> None:
        """Stop, and remove what was kept for a restart."""
        self.stop()


class GivenBroker(Broker):
    """The one that ``KAFKA_BOOTSTRAP_SERVERS`` names; it is not ours to stop."""

    restartable = False

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap

    def start(self) -> None:
        pass

    def stop(self) -> None:
        pass

    def kill(self) -> None:
        raise NoBroker("the broker of KAFKA_BOOTSTRAP_SERVERS is not ours to kill; unset it to test restarts")

    def restart(self) -> None:
        self.kill()


class ComposeBroker(Broker):
    """The service ``kafka`` of ``compose.yaml``; left running at the end if it ran before."""

    bootstrap = "127.0.0.1:9092"

    def __init__(self) -> None:
        self._ran_before = bool(_compose("ps", "--status", "running", "--quiet", "kafka").strip())

    def start(self) -> None:
        _compose("up", "--detach", "--wait", "kafka")
        self.bootstrap = _compose("port", "kafka", "9092").strip().replace("0.0.0.0", "127.0.0.1")

    def stop(self) -> None:
        _compose("stop", "kafka")

    def kill(self) -> None:
        _compose("kill", "kafka")

    def close(self) -> None:
        if not self._ran_before:
            self.stop()


class JavaBroker(Broker):
    """One KRaft node from Maven Central's jars, with its own data folder.

    ``formatting``: options for the tool that makes the data folder; it writes the users of SCRAM.
    """

    formatting: tuple[str, ...] = ()

    def __init__(self, *options: str) -> None:
        self._libs = cached_jars()
        self._options = options
        self._folder = Path(tempfile.mkdtemp(prefix="writeback-kafka-"))
        self._port, controller = free_port(), free_port()
        self.bootstrap = f"127.0.0.1:{self._port}"
        self._process: subprocess.Popen[str] | None = None
        self._pid = 0
        self._properties = self._folder / "server.properties"
        self._properties.write_text(
            PROPERTIES.format(port=self._port, controller=controller, data=self._folder / "data")
        )
        (self._folder / "log4j2.properties").write_text(LOG4J)

    def start(self) -> None:
        if self._process is not None:
            return
        if not (self._folder / "data").exists():
            self._format()
        command = [
            *self._java("-Xms256m", "-Xmx512m", "-XX:+UseSerialGC", *self._options),
            "kafka.Kafka",
            str(self._properties),
        ]
        with (self._folder / "broker.log").open("a") as log:
            self._process = subprocess.Popen(
                ["sh", "-c", SUPERVISOR, "sh", *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,  # Ctrl-C is for us; we stop it in good order
            )
        assert self._process.stdout is not None
        self._pid = int(self._process.stdout.readline())
        self._wait_until_open()

    def stop(self) -> None:
        if self._process is None:
            return
        process, self._process = self._process, None
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        process.stdout.close()

    def kill(self) -> None:
        if self._process is not None:
            os.kill(self._pid, signal.SIGKILL)
            self.stop()

    def close(self) -> None:
        super().close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _format(self) -> None:
        # the first character is fixed: one in 64 would be a dash, and taken for an option
        cluster = "w" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")[1:]
        tool = [
            *self._java(SHORT_LIVED),
            "kafka.tools.StorageTool",
            "format",
            "-t",
            cluster,
            "-c",
            str(self._properties),
            *self.formatting,
        ]
        done = subprocess.run(tool, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise NoBroker(f"Kafka's data folder could not be formatted: {done.stdout}{done.stderr}")

    def _java(self, *options: str) -> list[str]:
        configuration = self._folder / "log4j2.properties"
        return ["java", *options, f"-Dlog4j2.configurationFile={configuration}", "-cp", f"{self._libs}/*"]

    def _wait_until_open(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                probe.settimeout(1)
                if probe.connect_ex(("127.0.0.1", self._port)) == 0:
                    return
            time.sleep(0.1)
        said = (self._folder / "broker.log").read_text()[-2_000:]
        self.close()
        raise NoBroker(f"Kafka did not open its port within {START_SECONDS:.0f} s; it said:\n{said}")


def find_broker(*options: str) -> Broker:
    """The best Kafka this machine can have, not started yet; ``options`` are for its JVM. Raises ``NoBroker``."""
    if given := os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
        return GivenBroker(given)
    if (ROOT / "compose.yaml").exists() and _succeeds("docker", "info"):
        return ComposeBroker()
    missing = [
        name for name, there in (("Java 17 or newer", _java_version() >= 17), ("Maven", _has("mvn"))) if not there
    ]
    if missing and not (cached_libs() and missing == ["Maven"]):
        raise NoBroker(
            f"no Kafka on this machine: {' and '.join(missing)} missing. Install them (apt-get install "
            "openjdk-17-jre-headless maven), or start Docker, or set KAFKA_BOOTSTRAP_SERVERS=host:9092"
        )
    return JavaBroker(*options)


def cached_libs() -> Path | None:
    """The jars of the newest version in the cache folder, if any."""
    return next((CACHE / version for version in VERSIONS if (CACHE / version).is_dir()), None)


def cached_jars() -> Path:
    """The folder with the broker's jars, fetched at the first call on a machine; two processes may call it at once."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (libs := cached_libs()) is not None:
            return libs
        said = ""
        for version in VERSIONS:
            with tempfile.TemporaryDirectory(dir=CACHE) as folder:
                done = _fetch(version, Path(folder))
                if done.returncode == 0:
                    return (Path(folder) / "libs").rename(CACHE / version)  # all or nothing
                said = done.stdout[-1_000:]
    raise NoBroker(f"Maven could not fetch org.apache.kafka:kafka_2.13 in any of {', '.join(VERSIONS)}: {said}")


def _fetch(version: str, folder: Path) -> subprocess.CompletedProcess[str]:
    (folder / "pom.xml").write_text(POM.format(version=version))
    copy = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={folder / 'libs'}"]
    command = ["mvn", "--quiet", "--batch-mode", "--file", str(folder / "pom.xml"), *copy]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _java_version() -> int:
    if not _has("java"):
        return 0
    said = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False).stderr
    found = re.search(r'version "(\d+)', said)
    return int(found[1]) if found else 0


def _has(program: str) -> bool:
    return shutil.which(program) is not None


def _succeeds(*command: str) -> bool:
    return _has(command[0]) and subprocess.run(command, capture_output=True, check=False).returncode == 0


def _compose(*command: str) -> str:
    whole = ["docker", "compose", "--file", str(ROOT / "compose.yaml"), *command]
    return subprocess.run(whole, capture_output=True, text=True, check=True).stdout


@contextmanager
def running_broker() -> Iterator[Broker]:
    broker = find_broker()
    try:
        broker.start()
        yield broker
    finally:
        broker.close()


@contextmanager
def needed(make: Callable[[], B]) -> Iterator[B]:
    """A started broker; skips with one loud line where none can be had, fails with CI=true."""
    try:
        broker = make()
        broker.start()
    except NoBroker as error:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI needs a real Kafka: {error}")
        pytest.skip(f"*** KAFKA TESTS SKIPPED: {error} ***")
    yield broker
    broker.close()


@pytest.fixture(scope="session")
def kafka() -> Iterator[Broker]:
    """A started broker, shared by the session."""
    with needed(lambda: find_broker(SHORT_LIVED)) as broker:
        yield broker


def main() -> int:
    """What ``make kafka`` runs: a broker until Ctrl-C."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        with running_broker() as broker:
            print(f"Kafka is at {broker.bootstrap}; Ctrl-C stops it. In another terminal:", flush=True)
            print(f"  export KAFKA_BOOTSTRAP_SERVERS={broker.bootstrap}", flush=True)
            print(f"  export WRITEBACK_LOG=kafka://{broker.bootstrap}", flush=True)
            signal.pause()
    except NoBroker as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
