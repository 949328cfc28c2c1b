"""What arrived at the destination, by the events' numbers: what is lost, doubled or out of order on its key is seen."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any


@dataclass
class Script:
    """What to answer.

    ``poison``: one event of so many is refused for good; ``throttle``: so many of 100 requests get a 429.
    """

    events: int = 0
    ms: float = 50.0
    poison: int = 0
    throttle: int = 0


class Book:
    """An event is settled when it was accepted, or refused for good. ``newest``: the last number of each key.

    ``at_once``: the most requests that waited for their answers at one time.
    """

    def __init__(self, script: Script) -> None:
        self.script = script
        self.requests = 0
        self.at_once = 0
        self.accepted = bytearray(script.events)
        self.refused = bytearray(script.events)
        self.settled = 0
        self.disordered = 0
        self.newest: dict[str, int] = {}
        self.first_at = self.last_at = 0.0
        self.delays: list[float] = []
        self.times: dict[str, list[float]] = {}
        self.first = asyncio.Event()
        self.done = asyncio.Event()

    def settle(self, n: int, key: str, now: float) -> int:
        """The status for one event."""
        if not self.first_at:
            self.first_at = now
            self.first.set()
        poison = self.script.poison
        if poison and n % poison == poison // 2:
            return self._refuse(n, now)
        times = self.accepted[n]
        if not times:
            self._new(now)
            if n < self.newest.get(key, -1):
                self.disordered += 1
            else:
                self.newest[key] = n
        self.accepted[n] = min(times + 1, 255)
        return 200

    def _refuse(self, n: int, now: float) -> int:
        if not self.refused[n]:
            self._new(now)
        self.refused[n] = min(self.refused[n] + 1, 255)
        return 422

    def _new(self, now: float) -> None:
        self.last_at = now
        self.settled += 1
        if self.settled == self.script.events:
            self.done.set()

    def report(self) -> dict[str, Any]:
        return {
            "requests": self.requests,
            "at_once": self.at_once,
            "settled": self.settled,
            "lost": self.script.events - self.settled,
            "doubled": sum(1 for times in self.accepted if times > 1),
            "refused": sum(1 for times in self.refused if times),
            "refusals": sum(self.refused),
            "disordered": self.disordered,
            "seconds": self.last_at - self.first_at + self.script.ms / 1_000,
            "delays": self.delays,
            "times": self.times,
        }
