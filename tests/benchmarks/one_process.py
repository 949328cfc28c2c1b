"""A script and the worker in one process on the embedded log.

python -m tests.benchmarks.one_process EVENTS PAUSE NAME
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time

import pq
from connectors import registry
from connectors.connections.store import Connections
from topics.cli.context import CommandContext
from worker.worker import Worker


def emit(events: int, pause: float, name: str) -> None:
    api = pq.connect(name)
    for n in range(events):
        time.sleep(pause)
        body = {"n": n, "key": f"k{n % 50}", "sent": time.time()}
        api.update("record", path=f"records/k{n % 50}", body=body)
    pq.flush()


async def main(events: int, pause: float, name: str) -> None:
    context = CommandContext()
    connections = Connections(context.store(), context.settings.secret_key)
    worker = Worker(log=context.log(), connections=connections, build=registry.build)
    stop = asyncio.Event()
    running = asyncio.create_task(worker.run(stop))
    emitting = threading.Thread(target=emit, args=(events, pause, name))
    emitting.start()
    await asyncio.to_thread(emitting.join)
    await asyncio.sleep(1)
    stop.set()
    await running


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3]))
