"""A process that the conformance tests start, and kill: ``python -m tests.conformance.log_child URL COMMAND JSON``.

Says one JSON object a line on standard output:
``produce``  {"acked": offset, "n": n} for every acknowledged send, then {"done": count}
``consume``  {"assigned": {...}}, {"committed": offset} for every commit, for ever
``hold``     reads, says {"holding": offset}, waits for a line, commits, and says {"outcome": "committed" | "fenced"}
``ensure``   waits for a line, makes the topics, says {"done": names}
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

import structlog

from topics.errors import CommitFenced
from topics.log import Commit, Log, Partition, Position, Record, Unreadable
from topics.names import TopicSpec
from topics.open import open_log

_speaking = threading.Lock()


def say(**message: object) -> None:
    with _speaking:
        sys.stdout.write(json.dumps(message) + "\n")
        sys.stdout.flush()


class Owner:
    def assigned(self, commits: Mapping[Partition, Commit | None]) -> None:
        say(assigned={str(partition): commit for partition, commit in commits.items()})

    async def revoked(self, partitions: Sequence[Partition]) -> Mapping[Partition, Commit]:
        say(revoked=[str(partition) for partition in partitions])
        return {}

    def lost(self, partitions: Sequence[Partition]) -> None:
        say(lost=[str(partition) for partition in partitions])

    def unreadable(self, found: Unreadable) -> None:
        say(unreadable=found.reason)


def produce(log: Log, topic: str, name: str, count: int, window: int = 100) -> None:
    """Send ``count`` numbered records with one key, at most ``window`` unacknowledged."""
    producer = log.producer(name=name)
    room = threading.Semaphore(window)

    def acknowledged(n: int, future: Future[Position]) -> None:
        say(acked=future.result().offset, n=n)
        room.release()

    for n in range(count):
        room.acquire()
        future = producer.send(topic, key=name.encode(), value=f"{name}:{n}".encode())
        future.add_done_callback(lambda done, n=n: acknowledged(n, done))  # type: ignore[misc]
    producer.flush()
    say(done=count)
    producer.close()


def last_of(records: Sequence[Record]) -> dict[Partition, Commit]:
    return {record.partition: Commit(record.offset + 1, f"done below {record.offset + 1}") for record in records}


async def consume(log: Log, group: str, pattern: str) -> None:
    consumer = log.consumer(group, pattern=pattern, rebalance=Owner())
    await consumer.start()
    while True:
        records = await consumer.poll(0.25)
        if not records:
            continue
        say(read=len(records))
        commits = last_of(records)
        await consumer.commit(commits)
        for partition, commit in commits.items():
            say(committed=commit.offset, partition=partition.number)


async def hold(log: Log, group: str, pattern: str) -> None:
    consumer = log.consumer(group, pattern=pattern, rebalance=Owner())
    await consumer.start()
    records: list[Record] = []
    while not records:
        records = await consumer.poll(0.25)
    say(holding=records[-1].offset)
    await asyncio.to_thread(sys.stdin.readline)
    try:
        await consumer.commit(last_of(records))
    except CommitFenced:
        say(outcome="fenced")
    else:
        say(outcome="committed")
    await consumer.close()


def ensure(log: Log, names: list[str], partitions: int) -> None:
    say(ready=True)
    sys.stdin.readline()
    log.ensure_topics([TopicSpec(name, partitions=partitions) for name in names])
    say(done=names)


def main() -> None:
    url, command, arguments = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # standard output is for the parent
    log = open_log(url)
    commands: dict[str, Callable[..., Any]] = {"produce": produce, "consume": consume, "hold": hold, "ensure": ensure}
    result = commands[command](log, **arguments)
    if result is not None:
        asyncio.run(result)
    log.close()


if __name__ == "__main__":
    main()
