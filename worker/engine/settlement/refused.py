"""Records that never get into a lane: the letter first, then the offset."""

from __future__ import annotations

from collections.abc import Callable

from topics.event.event import Event
from topics.log import Record
from worker.engine.lane.assignment import Assignment
from worker.engine.progress.metadata import LetterCause
from worker.engine.settlement.committer import Committer
from worker.engine.settlement.outcomes import Outcomes
from worker.process.background import BackgroundTasks


class RefusedRecords:
    def __init__(self, outcomes: Outcomes, committer: Committer, tasks: BackgroundTasks) -> None:
        self._outcomes = outcomes
        self._committer = committer
        self._tasks = tasks

    def bury(
        self,
        assignment: Assignment,
        record: Record,
        event: Event | None,
        cause: LetterCause,
        reason: str,
        *,
        ended: Callable[[Assignment, int], None],
    ) -> None:
        """Dead-letter a record that was counted into its assignment; ``ended`` is told its bytes when it is done."""
        assignment.settling += 1
        doubtful = assignment.progress.announce_letter(record.offset, cause)
        self._committer.dirty(assignment)
        announced = assignment.known()

        async def settle() -> None:
            try:
                await announced
                await self._outcomes.bury_record(record, event, cause, reason, doubtful=doubtful)
            finally:
                assignment.settling -= 1
            if not assignment.closed:
                assignment.progress.done(record.offset)
                assignment.gave_back(record.size)
                ended(assignment, record.size)
                self._committer.dirty(assignment)

        self._tasks.spawn(settle())
