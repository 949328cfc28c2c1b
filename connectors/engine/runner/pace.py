"""Limits the rate of reads by scripts and refreshes, beside a worker that writes with the same account."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from connectors.contract import READ_SHARE, Limits


@dataclass(slots=True)
class Pace:
    """The rate of one connection's reads, and how many may be under way at once.

    ``begins``: the loop's time before which no request is made, if there is a rate.
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
        """Reserve the next request's time. Returns the seconds to wait until then; later callers come after it."""
        if not self.limits.rate:
            return 0.0
        at = max(now, self.begins)
        self.begins = at + self.limits.per_seconds / read_rate(self.limits.rate)
        return at - now


def read_rate(rate: float) -> float:
    """How many calls of a connection's ``rate`` are for reads: their share, less what writes may use in a burst."""
    return max(rate * READ_SHARE - 1, rate * READ_SHARE / 2)
