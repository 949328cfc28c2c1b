"""How fast reads may go: those of scripts and those of refreshes, beside a worker that writes with the same account."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from connectors.contract import Limits

READ_SHARE: Final = 0.5
"""Of the connection's rate. The worker does not know of a read; where it takes all of the rate meanwhile, the vendor's
429 and rate headers slow both down."""


@dataclass(slots=True)
class Pace:
    """The least time between two requests of one connection's reading, and how many there may be at once."""

    limits: Limits
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    _next: float = 0.0
    at_once: asyncio.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        self.at_once = asyncio.Semaphore(self.limits.concurrency)

    async def turn(self) -> None:
        now = asyncio.get_running_loop().time()
        start = max(now, self._next)
        if self.limits.rate:  # taken before the wait: who comes meanwhile is behind
            self._next = start + self.limits.per_seconds / (self.limits.rate * READ_SHARE)
        if start > now:
            await self.sleep(start - now)
