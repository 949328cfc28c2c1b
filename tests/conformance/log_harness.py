"""What the log's conformance tests share: a member of a group under watch, and a child process on the same log."""

from __future__ import annotations

import asyncio
import contextlib
import json
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from topics.log import Commit, Consumer, Log, Partition, Reader, Record, Unreadable

PATIENCE = 60.0
"""Seconds after which a condition that must come true is a failure."""
ROOT = Path(__file__).resolve().parents[2]


class Member:
    """A consumer that is polled all the time; keeps what it was told and what it was handed."""

    def __init__(
        self,
        log: Log,
        group: str,
        pattern: str,
        *,
        on_assigned: Callable[[Member], None] | None = None,
        others: Sequence[Member] = (),
    ) -> None:
        self.consumer: Consumer = log.consumer(group, pattern=pattern, rebalance=self)
        self.owned: set[Partition] = set()
        self.commits: dict[Partition, Commit | None] = {}
        self.records: list[Record] = []
        self.held: list[Unreadable] = []
        self.on_revoke: dict[Partition, Commit] = {}
        self.complaints: list[str] = []
        self.others = others
        self._on_assigned = on_assigned
        self._task: asyncio.Task[None] | None = None

    def assigned(self, commits: Mapping[Partition, Commit | None]) -> None:
        if twice := self.owned & commits.keys():
            self.complaints.append(f"assigned twice: {twice}")
        for other in self.others:
            if both := other.owned & commits.keys():
                self.complaints.append(f"owned by two members: {both}")
        self.owned |= commits.keys()
        self.commits.update(commits)
        if self._on_assigned:
            self._on_assigned(self)

    async def revoked(self, partitions: Sequence[Partition]) -> Mapping[Partition, Commit]:
        self.owned -= set(partitions)
        return {partition: commit for partition, commit in self.on_revoke.items() if partition in partitions}

    def lost(self, partitions: Sequence[Partition]) -> None:
        self.owned -= set(partitions)

    def unreadable(self, found: Unreadable) -> None:
        self.held.append(found)

    async def poll(self, timeout: float = 0.25) -> list[Record]:
        records = await self.consumer.poll(timeout)
        for record in records:
            if record.partition not in self.owned:
                self.complaints.append(f"{record.partition} offset {record.offset} came while it was not ours")
        self.records += records
        return records

    def read(self, partition: Partition) -> list[int]:
        """The offsets handed out for a partition, in the order they came."""
        return [record.offset for record in self.records if record.partition == partition]

    @property
    def values(self) -> list[bytes | None]:
        return [record.value for record in self.records]

    async def until(self, condition: Callable[[], object], seconds: float = PATIENCE) -> None:
        """Wait for a condition; polls by itself unless the member runs in the background."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"not within {seconds} s; owned {self.owned}, {len(self.records)} records read")
            if self._task is None:
                await self.poll()
            else:
                if self._task.done():
                    self._task.result()
                await asyncio.sleep(0.01)
        assert self.complaints == []

    async def __aenter__(self) -> Self:
        await self.consumer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self.consumer.close()

    def run(self) -> Self:
        """Poll in the background from now on."""
        self._task = asyncio.get_running_loop().create_task(self._run())
        return self

    async def _run(self) -> None:
        while True:
            await self.poll()


class Child:
    """A process of ours on the same log (``tests/conformance/log_child.py``), spoken to in lines of JSON."""

    def __init__(self, url: str, command: str, **arguments: object) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.conformance.log_child", url, command, json.dumps(arguments)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.said: list[dict[str, Any]] = []
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._pump = threading.Thread(target=self._read, daemon=True)
        self._pump.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def hear(self, word: str, seconds: float = PATIENCE) -> dict[str, Any]:
        """Wait for a message of this kind; what came before it is kept in ``said``."""
        deadline = time.monotonic() + seconds
        while True:
            line = self._lines.get(timeout=max(0.01, deadline - time.monotonic()))
            if line is None:
                raise AssertionError(f"the child ended ({self.process.wait()}) before it said {word!r}")
            message: dict[str, Any] = json.loads(line)
            self.said.append(message)
            if word in message:
                return message

    def tell(self, line: str = "go") -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def kill(self) -> list[dict[str, Any]]:
        """kill -9; returns every whole line that it ever said."""
        self.process.send_signal(signal.SIGKILL)
        return self.rest()

    def rest(self) -> list[dict[str, Any]]:
        self.process.wait(PATIENCE)
        self._pump.join(PATIENCE)
        while (line := self._lines.get_nowait()) is not None:
            if line.endswith("\n"):  # a kill may cut the last one
                self.said.append(json.loads(line))
        return self.said

    def stop(self) -> None:
        """SIGSTOP: it lives, and does nothing."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        for pipe in (self.process.stdin, self.process.stdout):
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait(PATIENCE)
            self._pump.join(PATIENCE)
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


@contextlib.contextmanager
def child(url: str, command: str, **arguments: object) -> Iterator[Child]:
    process = Child(url, command, **arguments)
    try:
        yield process
    finally:
        process.end()


def read_all(reader: Reader, count: int, seconds: float = PATIENCE) -> list[Record]:
    """Read until ``count`` records came; close the reader."""
    records: list[Record] = []
    deadline = time.monotonic() + seconds
    try:
        while len(records) < count and time.monotonic() < deadline:
            records += reader.poll(0.25)
    finally:
        reader.close()
    return records
