"""What operators change in the store while the worker runs: seen within a second, taken over in good order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from connectors.connections.store import Connections
from connectors.errors import BadSecret, UnknownConnection
from topics.errors import StoreUnavailable
from worker.clock import Clock
from worker.dispatch.dispatch import Dispatcher
from worker.intake.gate import Gate
from worker.intake.intake import Opener, Post
from worker.intake.router import Router
from worker.lane.assignment import Assignment
from worker.log_events import logger

WATCH_SECONDS = 1.0
"""How soon an operator's pause, resume or change of a connection is seen."""
SECRETS_SECONDS = 30.0
"""How often a connection that is down looks whether its secrets in the store are others than it was opened with."""

Drain = Callable[[Sequence[Assignment]], Awaitable[int]]


class Changes:
    """``drain`` waits for the calls of assignments, within the grace period; ``reread`` drops what waits in one."""

    def __init__(
        self,
        connections: Connections,
        router: Router,
        opener: Opener,
        gate: Gate,
        clock: Clock,
        *,
        drain: Drain,
        reread: Callable[[Assignment], None],
        spawn: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        self._connections = connections
        self._router = router
        self._opener = opener
        self._gate = gate
        self._clock = clock
        self._drain = drain
        self._reread = reread
        self._spawn = spawn
        self._secrets_at = 0.0
        self._changing: set[str] = set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._clock.sleep(WATCH_SECONDS)
            for post in self._router.posts.values():
                if post.dispatcher is not None and post.dispatcher.destination.paused:
                    post.dispatcher.destination.shed()
            try:
                revisions = await asyncio.to_thread(self._connections.revisions)
            except StoreUnavailable as error:
                logger().warning("store.unavailable", error=str(error))
                continue
            renewed = await self._renewed()
            for post in list(self._router.posts.values()):
                dispatcher = post.dispatcher
                if dispatcher is None or post.slug in self._changing:
                    continue
                if post.slug in renewed or dispatcher.connection.revision != revisions.get(post.slug):
                    self._changing.add(post.slug)
                    self._spawn(self._change(post, dispatcher))  # one that is slow to end holds up no other

    async def _renewed(self) -> set[str]:
        """Connections that are down, and whose secrets in the store are not those they were opened with."""
        now = self._clock.monotonic()
        if now < self._secrets_at:
            return set()
        self._secrets_at = now + SECRETS_SECONDS
        renewed = set()
        for post in list(self._router.posts.values()):
            if post.dispatcher is None or post.dispatcher.destination.breaker.state != "open" or not post.secrets:
                continue
            try:
                stored = await asyncio.to_thread(self._connections.secrets, post.dispatcher.connection)
            except (StoreUnavailable, BadSecret, UnknownConnection):
                continue  # opening it anew would fail as well, and the store's silence is told elsewhere
            if stored != post.secrets:
                renewed.add(post.slug)
        return renewed

    async def _change(self, post: Post, dispatcher: Dispatcher) -> None:
        """Close the connection in good order and open it as it is now."""
        try:
            logger().info("connection.changed", connection=post.slug)
            for assignment in post.assignments.values():
                self._gate.hold(assignment, "opening")
            dispatcher.destination.pause()
            await self._drain(list(post.assignments.values()))
            for assignment in list(post.assignments.values()):
                self._reread(assignment)
            for assignment in post.assignments.values():
                self._gate.release(assignment, "paused")
                self._gate.release(assignment, "down")
            await post.close()
            self._opener.open(post)
        finally:
            self._changing.discard(post.slug)
