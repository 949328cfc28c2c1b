"""An asyncio loop in a thread of its own: connectors are asyncio, scripts are not."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

T = TypeVar("T")

GOODBYE_S = 2.0


class Background:
    """Starts on first use. Ctrl-C while a script waits cancels what it waits for."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        future = asyncio.run_coroutine_threadsafe(coroutine, self._started())
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._starting:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="pq-reads", daemon=True)
                self._thread.start()
            return self._loop

    def close(self, goodbyes: Sequence[Coroutine[Any, Any, None]]) -> None:
        """Run the goodbyes, then stop; nothing happens when the loop was never used."""
        if self._loop is None or self._thread is None:
            return
        asyncio.run_coroutine_threadsafe(_all(goodbyes), self._loop).result(GOODBYE_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(GOODBYE_S)
        self._loop.close()
        self._loop = self._thread = None


async def _all(coroutines: Sequence[Coroutine[Any, Any, None]]) -> None:
    for coroutine in coroutines:
        await coroutine
