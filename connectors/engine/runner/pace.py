"""How fast reads may go: those of scripts and those of refreshes, beside a worker that writes with the same account."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from connectors.contract import READ_SHARE, Limits


@dataclass(slots=True)
class Pace:
    """The least time between two requests of one connection's reading, and how many there may be at once.

    ``begins``: where there is a rate, the first one goes out no sooner (by the loop's clock).
    """

    limits: Limits
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    begins: float = 0.0
    at_once: asyncio.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        self.at_once = asyncio.Semaphore(self.limits.concurrency)

    async def turn(self) -> None:
        wait = self.take(asyncio.get_running_loop().time())
        if wait > 0:
            await self.sleep(wait)

    def take(self, now: float) -> float:
        """Seconds to wait before the next request, which this takes for made: who comes meanwhile is behind."""
        if not self.limits.rate:
            return 0.0
        at = max(now, self.begins)
        self.begins = at + self.limits.per_seconds / read_rate(self.limits.rate)
        return at - now


def read_rate(rate: float) -> float:
    """Calls of a read in the time in which a connection may make ``rate``: its part, less the burst of the writes."""
    return max(rate * READ_SHARE - 1, rate * READ_SHARE / 2)
