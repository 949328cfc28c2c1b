"""Pauses partitions for one or several reasons, and resumes each when no reason is left."""

from __future__ import annotations

from topics.log import Consumer
from worker.engine.lane.assignment import Assignment


class PartitionPauses:
    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer

    def hold(self, assignment: Assignment, why: str) -> None:
        if not assignment.holds and not assignment.closed:
            self._consumer.pause([assignment.partition])
        assignment.holds.add(why)

    def release(self, assignment: Assignment, why: str) -> None:
        if why not in assignment.holds:
            return
        assignment.holds.discard(why)
        if not assignment.holds and not assignment.closed:
            self._consumer.resume([assignment.partition])

    def put_back(self, assignment: Assignment, offset: int) -> None:
        """Do not take this record and those behind it now: pause, and read them again later."""
        self.go_to(assignment, offset)

    def go_to(self, assignment: Assignment, offset: int) -> None:
        """Read on from there."""
        self._consumer.seek(assignment.partition, offset)
