"""What is at the head of each partition: since when it waits, and whether it holds up the commit."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from topics.log import Partition
from worker.engine.lane.assignment import Assignment, Delivery
from worker.engine.progress.metadata import CROWDED
from worker.log_events import logger

FULL = 0.9
DONE = 0.98
"""The rule of thumb: a window more than 90 % full, of which more than 98 % is done, waits for one offset."""


@dataclass(frozen=True, slots=True)
class Blocking:
    """``since``: when the record was written, seconds since the epoch; ``calls``: how often it was sent."""

    offset: int
    since: float
    object: str
    operation: str
    calls: int


def blocking(assignment: Assignment, window: int, metadata: int) -> Blocking | None:
    """What holds up the commit, or None.

    ``window``: offsets that may lie between the first undone and the newest before that is worth a word (what the
    worker may hold); ``metadata``: bytes that the last commit needed to say what is done in between.
    """
    progress = assignment.progress
    span = progress.top - progress.watermark
    full = span > FULL * window or metadata > FULL * CROWDED
    if not full or span - progress.unfinished <= DONE * span:
        return None
    first = progress.first
    if not isinstance(first, Delivery):
        return Blocking(progress.watermark, 0.0, "", "letter", 0)  # its letter is on its way: the log is slow
    function = first.function
    return Blocking(first.offset, _written(first), function.object, function.operation.value, first.calls)


class HeadOfLine:
    """Told every second; names a blocking offset once."""

    def __init__(self, window: int) -> None:
        self._window = window
        self.blocking: dict[Partition, Blocking] = {}
        self._oldest: dict[Partition, tuple[int, float]] = {}

    def look(self, assignments: Iterable[tuple[Assignment, int]]) -> None:
        """Every assignment, with the bytes of metadata of its last commit."""
        blocked, oldest = {}, {}
        for assignment, metadata in assignments:
            partition = assignment.partition
            if (found := blocking(assignment, self._window, metadata)) is not None:
                blocked[partition] = found
                self._tell(partition, found)
            if (head := self._head(assignment)) is not None:
                oldest[partition] = head
        self.blocking, self._oldest = blocked, oldest

    def waiting_since(self, partition: Partition) -> float | None:
        """When the oldest undone record of that partition was written, as of the last look."""
        head = self._oldest.get(partition)
        return head[1] if head else None

    def _head(self, assignment: Assignment) -> tuple[int, float] | None:
        first = assignment.progress.first
        if isinstance(first, Delivery):
            return first.offset, _written(first)
        known = self._oldest.get(assignment.partition)  # dropped while nothing can go out, and not read again yet
        return known if known and known[0] == assignment.progress.watermark else None

    def _tell(self, partition: Partition, found: Blocking) -> None:
        known = self.blocking.get(partition)
        if known is None or known.offset != found.offset:
            logger().warning(
                "lane.blocked",
                partition=str(partition),
                offset=found.offset,
                object=found.object,
                operation=found.operation,
                attempts=found.calls,
                waiting_since=found.since,
            )


def _written(delivery: Delivery) -> float:
    return delivery.record.timestamp_ms / 1_000
