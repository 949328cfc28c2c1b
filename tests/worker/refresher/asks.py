"""Somebody who asks often, in a process of its own, and waits for every answer (forked: tests/tools/forked.py)."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection

from tests.tools.forked import SERVER
from topics import names
from topics.event.refresh import RefreshRequest, encode
from topics.event.result import unpack
from topics.log import Partition
from topics.open import open_log


@contextmanager
def askers(processes: int, url: str, count: int) -> Iterator[list[Connection]]:
    """So many processes, each with its pipe: it says ``ready``, waits for a word, asks ``count`` times, and says how
    many of the answers say that the run went well, and which runs they name."""
    pipes = [SERVER.Pipe() for _ in range(processes)]
    started = [SERVER.Process(target=_ask, args=(theirs, url, count)) for _, theirs in pipes]
    try:
        for process, (_, theirs) in zip(started, pipes, strict=True):
            process.start()
            theirs.close()
        yield [ours for ours, _ in pipes]
    finally:
        for process, (ours, theirs) in zip(started, pipes, strict=True):
            if process.pid is not None:
                process.kill()
                process.join()
            ours.close()
            theirs.close()


def _ask(pipe: Connection, url: str, count: int) -> None:
    log = open_log(url)
    place = Partition(names.DEFAULT.replies, os.getpid() % names.REPLY_PARTITIONS)
    starts = log.end_offsets([place])
    producer = log.producer(name="asks")
    pipe.send("ready")
    pipe.recv()
    requests = [
        RefreshRequest(connection="odoo", objects=(f"object-{number % 7}",), reply_to=place.number, source="asks")
        for number in range(count)
    ]
    for sent in [producer.send(names.DEFAULT.refresh, **encode(request)._asdict()) for request in requests]:
        sent.result(60.0)
    producer.close(5.0)
    reader, waiting, runs = log.reader(starts), {request.id for request in requests}, set()
    until = time.monotonic() + 90.0
    while waiting and time.monotonic() < until:
        for result in (result for record in reader.poll(1.0) for result in unpack(record.value)):
            if result.id in waiting and result.outcome == "delivered":
                waiting.discard(result.id)
                runs.add(result.detail["run"])
    reader.close()
    log.close()
    pipe.send((count - len(waiting), runs))
