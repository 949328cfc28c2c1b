"""Sees that a consumer is in its group and does nothing: then it is to be replaced. Told the time and the facts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from topics.log import Partition


class Watchdog:
    """Three ways to be stuck, each for ``patience`` seconds.

    A join that never ends; records that are there and do not come; no partition, while the group has some that nobody
    reads. The last two have to be asked of the broker: seldom, and only while it is quiet. Time in which the broker
    does not answer counts for none of them.
    """

    def __init__(self, patience: float) -> None:
        self.patience = patience
        self._moved: dict[Partition, float] = {}
        self._behind: dict[Partition, float] = {}
        self._joined = self._busy = self._asked = 0.0

    def reset(self, now: float) -> None:
        """A new consumer."""
        self._moved.clear()
        self._behind.clear()
        self._joined = self._busy = self._asked = now

    def moved(self, partition: Partition, now: float) -> None:
        """Records of it came, or it was assigned, paused, resumed or sought."""
        self._moved[partition] = now
        self._behind.pop(partition, None)

    def no_answer(self, now: float) -> None:
        """The broker cannot be asked: nothing is anybody's fault."""
        self._joined = self._busy = self._asked = now
        self._behind.clear()

    def look(
        self,
        now: float,
        *,
        stable: bool,
        fetchable: Sequence[Partition],
        idle: bool,
        behind: Callable[[Sequence[Partition]], Sequence[Partition]],
        forgotten: Callable[[], Sequence[Partition]],
    ) -> str | None:
        """Why the consumer must be replaced, or None."""
        if stable:
            self._joined = now
        if not idle:
            self._busy = now
        if now - self._joined > self.patience:
            return f"its join has not ended for {self.patience:.0f} s"
        if now - self._busy > self.patience:
            self._busy = now
            if unread := forgotten():
                return f"it has no partition, and nobody reads {unread[0]}"
        return self._look_for_lag(now, fetchable, behind)

    def _look_for_lag(
        self, now: float, fetchable: Sequence[Partition], behind: Callable[[Sequence[Partition]], Sequence[Partition]]
    ) -> str | None:
        pace = self.patience / 3
        if now - self._asked <= pace:
            return None
        self._asked = now
        quiet = [partition for partition in fetchable if now - self._moved.setdefault(partition, now) > pace]
        since = self._behind
        self._behind = {partition: since.get(partition, now) for partition in (behind(quiet) if quiet else ())}
        for partition, first in self._behind.items():
            if now - first > self.patience:
                return f"{partition} has records, and none came for {self.patience:.0f} s"
        return None
