"""How fast a replay or an import goes: no faster than its topics are worked on, and no faster than it is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from topics.log import Log
from topics.names import DEFAULT

LAG_LIMIT = 1_000
"""Records a topic may have waiting before more is replayed onto it: live events are not to queue behind a replay."""
IMPORT_LAG_LIMIT = 10_000
"""The same for an import: what a worker holds in memory and can reorder, live events first."""
IMPORT_PATIENCE_S = 5.0
"""Where nobody is working nobody is held up: an import does not wait for a worker to be started."""
LAG_PATIENCE_S = 60.0
"""Seconds that a lag may stand still before the rest is given back: nobody is working on that topic."""
LAG_LOOK_S = 0.5


class _Lag(NamedTuple):
    records: int
    topic: str


@dataclass(frozen=True, slots=True)
class Pace:
    """``rate``: events per second at the most, None: as fast as the topic's lag allows. Told the time.

    ``held_back``: which of these topics no worker takes events from now, and why; empty when there is none.
    """

    monotonic: Callable[[], float]
    sleep: Callable[[float], None]
    rate: float | None = None
    lag_limit: int = LAG_LIMIT
    patience_s: float = LAG_PATIENCE_S
    group: str = DEFAULT.worker_group
    held_back: Callable[[set[str]], str] = lambda _: ""

    def wait_for_rate(self) -> None:
        if self.rate:
            self.sleep(1.0 / self.rate)

    def wait_for_room(self, log: Log, topics: set[str], waiting: Callable[[str], None]) -> str:
        """Until the workers have less than the limit before them; why not, when nobody works on it."""
        if why := self.held_back(topics):
            return why
        least, since = self._lag(log, topics), self.monotonic()
        lag = least
        while lag.records >= self.lag_limit:
            if self.monotonic() - since >= self.patience_s:
                return f"{lag.topic} has {lag.records:,} events waiting that do not get fewer: is a worker running?"
            waiting(f"{lag.topic} has {lag.records:,} events waiting")
            self.sleep(LAG_LOOK_S)
            if why := self.held_back(topics):
                return why
            lag = self._lag(log, topics)
            if lag.records < least.records:
                least, since = lag, self.monotonic()
        return ""

    def _lag(self, log: Log, topics: set[str]) -> _Lag:
        """The topic with the most waiting."""
        lags = {topic: log.lag(self.group, topic) for topic in sorted(topics)}
        counts = [
            _Lag(sum(lag.records for place, lag in places.items() if place.topic == topic), topic)
            for topic, places in lags.items()
        ]
        return max(counts, default=_Lag(0, ""))
