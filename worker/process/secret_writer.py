"""Keeps the secrets that vendors replace: a refresh token that ends with its use must outlive this process."""

from __future__ import annotations

import asyncio

from connectors.connections.store import Connection, Connections
from connectors.errors import BadSecret, UnknownConnection
from topics.errors import StoreUnavailable
from worker.clock import Clock
from worker.log_events import logger

LONGEST_PAUSE = 30.0


class SecretWriter:
    """``keep`` returns at once and is called on the loop; ``close`` waits for what is not in the store yet."""

    def __init__(self, connections: Connections, clock: Clock) -> None:
        self._connections = connections
        self._clock = clock
        self._one_at_a_time = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    def keep(self, connection: Connection, name: str, value: str) -> None:
        task = asyncio.create_task(self._keep(connection, name, value))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _keep(self, connection: Connection, name: str, value: str) -> None:
        """Until the store has it; in order, so that of two that followed each other closely the last one counts."""
        async with self._one_at_a_time:
            pause = 0.5
            while not await self._kept(connection, name, value, pause):
                await self._clock.sleep(pause)
                pause = min(LONGEST_PAUSE, pause * 2)

    async def _kept(self, connection: Connection, name: str, value: str, pause: float) -> bool:
        """True too when it never will be: that is told, and the connection works on until this process ends."""
        try:
            await asyncio.to_thread(self._connections.keep_secret, connection, name, value)
        except StoreUnavailable as error:
            logger().warning(
                "secret.not_kept", connection=connection.slug, secret=name, error=str(error), retry_in=pause
            )
            return False
        except (BadSecret, UnknownConnection) as error:
            logger().error("secret.not_kept", connection=connection.slug, secret=name, error=str(error))
        else:
            logger().info("secret.kept", connection=connection.slug, secret=name)
        return True

    async def close(self, seconds: float) -> None:
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=seconds)
            for task in late:
                task.cancel()
