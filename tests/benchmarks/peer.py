"""What people use instead: each set up as its own documentation recommends, in an environment of its own.

The set-ups are in ``peers/<name>/``, so that anyone can object. Environments and jars are made once, in
``.cache/bench/peers``.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.benchmarks.stand import Process, Stand
from tests.kafka_broker import ROOT
from tests.ports import free_port

HERE = Path(__file__).parent / "peers"
CACHE = ROOT / ".cache" / "bench" / "peers"


class Unavailable(Exception):
    """This peer cannot be had on this machine; the message says why."""


@dataclass(frozen=True)
class Peer:
    """``order``: what its own documentation promises per key. ``most``: events that it gets, because it is so slow.

    ``enqueue``: it does not read our topic but its own queue, which this command fills.
    """

    name: str
    folder: str
    needs: tuple[str, ...]
    command: tuple[str, ...]
    order: bool
    env: Mapping[str, str] = field(default_factory=dict)
    enqueue: tuple[str, ...] = ()
    most: int = 10_000

    def install(self) -> None:
        """Once per machine. Raises ``Unavailable``."""
        venv = CACHE / self.folder
        if (venv / "installed").exists():
            return
        shutil.rmtree(venv, ignore_errors=True)
        _run([sys.executable, "-m", "venv", str(venv)])
        _run([str(venv / "bin" / "python"), "-m", "pip", "install", "--quiet", *self.needs])
        (venv / "installed").touch()

    def prepare(self, stand: Stand, topic: str, work: Iterable[Mapping[str, Any]]) -> None:
        """Fill its own queue, where it has one. ``work``: what the events hold, a path and a body each."""
        if self.enqueue:
            lines = stand.stage.folder / f"{self.folder}-{time.time_ns()}.jsonl"
            lines.write_text("".join(json.dumps(each) + "\n" for each in work))
            _run([*self._argv(self.enqueue), str(lines)], env=self._env(stand, topic, "bench"), cwd=HERE / self.folder)

    def start(self, stand: Stand, topic: str, group: str) -> list[Process]:
        """``topic``: several of them have commas between."""
        with (stand.stage.folder / f"{self.folder}.log").open("ab") as log:
            process = subprocess.Popen(
                self._argv(self.command), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=self._env(stand, topic, group), cwd=HERE / self.folder, start_new_session=True,
            )  # fmt: skip
        return [process]

    def _argv(self, command: tuple[str, ...]) -> list[str]:
        return [str(CACHE / self.folder / "bin" / command[0]), *command[1:]]

    def _env(self, stand: Stand, topic: str, group: str) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/"),
            "BOOTSTRAP": stand.bootstrap,
            "URL": stand.far.url,
            "TOPIC": topic,
            "GROUP": group,
            **self.env,
        }


class JavaPeer(Peer):
    def install(self) -> None:
        folder = CACHE / self.folder
        source, made = HERE / self.folder / "Peer.java", folder / "Peer.class"
        if made.exists() and made.stat().st_mtime > source.stat().st_mtime:
            return
        if shutil.which("mvn") is None or shutil.which("javac") is None:
            raise Unavailable("needs Maven and a JDK (apt-get install maven default-jdk-headless)")
        libs = f"-DoutputDirectory={folder / 'libs'}"
        pom = str(HERE / self.folder / "pom.xml")
        _run(
            [
                "mvn",
                "--quiet",
                "--batch-mode",
                "--file",
                pom,
                "dependency:copy-dependencies",
                "-DincludeScope=runtime",
                libs,
            ]
        )
        _run(["javac", "-cp", f"{folder / 'libs'}/*", "-d", str(folder), str(source)])

    def _argv(self, command: tuple[str, ...]) -> list[str]:
        folder = CACHE / self.folder
        return ["java", "-cp", f"{folder}:{folder / 'libs'}/*", *command]


class RedisPeer(Peer):
    """With a Redis of its own, which is emptied with each run."""

    def install(self) -> None:
        if shutil.which("redis-server") is None:
            raise Unavailable("needs redis-server (apt-get install redis-server)")
        super().install()

    def prepare(self, stand: Stand, topic: str, work: Iterable[Mapping[str, Any]]) -> None:
        for process in _redis.values():
            process.terminate()
            process.wait()
        _redis.clear()
        port = free_port()
        command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        _redis[port] = stand.stage.start(*command, name="redis")
        time.sleep(0.5)
        super().prepare(stand, topic, work)

    def _env(self, stand: Stand, topic: str, group: str) -> dict[str, str]:
        return {**super()._env(stand, topic, group), "REDIS": f"redis://127.0.0.1:{next(iter(_redis))}/0"}


_redis: dict[int, Process] = {}

_HTTP = ("httpx>=0.28", "httpx-aiohttp>=0.2")
PARALLEL_CONSUMER = JavaPeer("Confluent parallel-consumer, KEY, 256", "parallel_consumer", (), ("Peer",), order=True)
FASTSTREAM = Peer(
    "FastStream, 256 workers",
    "faststream",
    ("faststream[kafka]>=0.6", *_HTTP),
    ("python", "consumer.py"),
    order=False,
    env={"WORKERS": "256"},
)
FASTSTREAM_ORDERED = Peer(
    "FastStream, 8 workers, NACK_ON_ERROR",
    "faststream",
    ("faststream[kafka]>=0.6", *_HTTP),
    ("python", "consumer.py"),
    order=True,
    env={"WORKERS": "8", "POLICY": "nack_on_error"},
    most=1_000,
)
TASKIQ = Peer(
    "taskiq-aio-kafka, 256 tasks",
    "taskiq",
    ("taskiq", "taskiq-aio-kafka", "kafka-python==2.3.3", *_HTTP),
    ("taskiq", "worker", "--workers", "1", "--max-async-tasks", "256", "--log-level", "ERROR", "tasks:broker"),
    order=False,
    enqueue=("python", "tasks.py"),
)
PEERS = (
    PARALLEL_CONSUMER,
    FASTSTREAM,
    FASTSTREAM_ORDERED,
    TASKIQ,
    Peer("arroyo, 256 threads", "arroyo", ("sentry-arroyo", "requests"), ("python", "consumer.py"), order=False),
    RedisPeer("Celery + Redis, 256 threads, acks_late", "celery", ("celery[redis]", "requests"),
              ("celery", "-A", "tasks", "worker", "--pool", "threads", "--concurrency", "256", "--loglevel", "ERROR"),
              order=False, enqueue=("python", "tasks.py"), most=3_000),
    Peer("plain kafka-python loop", "plain", ("kafka-python[crc32c]>=3.0.12,<3.2", "httpx>=0.28"),
         ("python", "consumer.py"), order=True, most=500),
)  # fmt: skip


def _run(command: list[str], env: Mapping[str, str] | None = None, cwd: Path | None = None) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env, cwd=cwd)
    if done.returncode:
        raise Unavailable(f"{' '.join(command[:4])} ... said: {(done.stdout + done.stderr).strip()[-300:]}")
