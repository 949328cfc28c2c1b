"""A sandbox in a thread of its own, for SDKs that block."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from connectors.sandbox.server import Sandbox


@contextmanager
def running(sandbox: Sandbox) -> Iterator[Sandbox]:
    """The sandbox, listening until the block ends."""
    started = threading.Event()
    stop = asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def serve() -> None:
        async with sandbox:
            loops.append(asyncio.get_running_loop())
            started.set()
            await stop.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),), daemon=True)
    thread.start()
    assert started.wait(10), "the sandbox did not start"
    try:
        yield sandbox
    finally:
        loops[0].call_soon_threadsafe(stop.set)
        thread.join(10)
