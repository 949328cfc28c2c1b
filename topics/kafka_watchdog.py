"""Sees that a consumer is in its group and does nothing: then it is to be replaced. Told the time and the facts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from topics.log import Partition


class Watchdog:
    """Three ways to be stuck, each for ``patience`` seconds.

    A join that never ends; records that are there and do not come; no partition, while the group has some that nobody
    reads. The last two have to be asked of the broker, so they are asked only then.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._moved: dict[Partition, float] = {}
        self._joined = self._busy = 0.0

    def reset(self, now: float) -> None:
        """A new consumer."""
        self._moved.clear()
        self._joined = self._busy = now

    def moved(self, partition: Partition, now: float) -> None:
        """Records of it came, or it was assigned, paused, resumed or sought."""
        self._moved[partition] = now

    def look(
        self,
        now: float,
        *,
        reachable: bool,
        stable: bool,
        fetchable: Sequence[Partition],
        idle: bool,
        behind: Callable[[Sequence[Partition]], Sequence[Partition]],
        forgotten: Callable[[], Sequence[Partition]],
    ) -> str | None:
        """Why the consumer must be replaced, or None. Nothing is wrong with it while the broker is out."""
        if not reachable or stable:
            self._joined = now
        if not reachable or not idle:
            self._busy = now
        if now - self._joined > self._patience:
            return f"its join has not ended for {self._patience:.0f} s"
        if now - self._busy > self._patience:
            self._busy = now
            if unread := forgotten():
                return f"it has no partition, and nobody reads {unread[0]}"
        if not reachable:
            return None
        quiet = [p for p in fetchable if now - self._moved.setdefault(p, now) > self._patience]
        for partition in quiet:
            self._moved[partition] = now
        if quiet and (stuck := behind(quiet)):
            return f"{stuck[0]} has records, and none came for {self._patience:.0f} s"
        return None
