"""Deletes what is done and old: nobody asks for it again, and a log is no archive of people's data.

Only records below a group's commit ever go, whatever a clock says: a clock that jumps ahead deletes what is done too
early, and nothing that is undone.
"""

from __future__ import annotations

from collections.abc import Sequence

from topics.errors import LogError
from topics.log.contract import Log, Partition
from topics.log.log_events import logger

log_event = logger()

AT_ONCE = 100_000
"""Offsets of a partition that are deleted in one go: on the embedded log about a second."""


class Retention:
    """Deletes the records that ``group`` is done with when they are ``keep_s`` seconds old, by their timestamps.

    In a partition older records go before younger ones: behind a record that is not old enough nothing is deleted.
    """

    def __init__(self, log: Log, group: str, keep_s: float) -> None:
        self._log = log
        self._group = group
        self._keep_s = keep_s
        self._failing = False

    def delete(self, partitions: Sequence[Partition], now: float) -> bool:
        """Whether there is more to delete at once. Blocks. A log that does not do it is logged, once."""
        try:
            starts, more = self._due(partitions, now)
            self._log.trim(starts)
        except LogError as error:
            if not self._failing:
                log_event.warning("log.not_deleted", group=self._group, error=str(error))
            self._failing = True
            return False
        self._failing = False
        for place, start in starts.items():
            log_event.info("log.deleted", partition=str(place), before=start)
        return more

    def _due(self, partitions: Sequence[Partition], now: float) -> tuple[dict[Partition, int], bool]:
        """Where these partitions are to begin, of those that are to get shorter, and whether that is not all."""
        done = {
            place: commit.offset for place, commit in self._log.committed(self._group, partitions).items() if commit
        }
        first = self._log.start_offsets(list(done))
        young = self._log.offsets_at(list(done), int((now - self._keep_s) * 1_000))
        goals = {place: min(offset, young[place]) for place, offset in done.items()}
        starts = {place: min(goal, first[place] + AT_ONCE) for place, goal in goals.items() if goal > first[place]}
        return starts, any(start < goals[place] for place, start in starts.items())
