"""Which partitions are ours: taken, given back, lost, and read again."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from topics.log import Commit, Partition
from worker.clock import Clock
from worker.engine.intake.pauses import PartitionPauses
from worker.engine.intake.router import Router
from worker.engine.lane.assignment import Assignment
from worker.engine.progress.metadata import ForeignMetadata
from worker.engine.progress.offsets import Progress
from worker.engine.settlement.committer import Committer
from worker.engine.settlement.ledger import Ledger
from worker.log_events import logger

REVOKE_SECONDS = 0.8
"""What a revocation waits for calls under way: more would starve the partitions that stay."""
LEDGER_SECONDS = 1.0
"""What a revocation waits for the ledger: without it no offset moves."""


class Partitions:
    def __init__(
        self,
        router: Router,
        committer: Committer,
        ledger: Ledger,
        pauses: PartitionPauses,
        clock: Clock,
    ) -> None:
        self._router = router
        self._committer = committer
        self._ledger = ledger
        self._pauses = pauses
        self._clock = clock

    def take(self, commits: Mapping[Partition, Commit | None]) -> list[Assignment]:
        """They are ours. Returns those that have no commit."""
        uncommitted = []
        for partition, commit in commits.items():
            assignment = Assignment(partition, _progress(partition, commit))
            logger().info("partition.assigned", partition=str(partition), offset=assignment.progress.start)
            self._router.adopt(assignment, from_others=True)
            if commit is None:
                uncommitted.append(assignment)
        return uncommitted

    async def give_back(self, partitions: Sequence[Partition]) -> Mapping[Partition, Commit]:
        """In good order. Returns the last commits; none when the ledger does not take the outcomes in time."""
        going = [self._router.assignments[p] for p in partitions if p in self._router.assignments]
        for assignment in going:
            self._router.disown(assignment)
        await self.drain(going, REVOKE_SECONDS)
        for assignment in going:
            self._router.retire(assignment)
            self._committer.forget(assignment)
            logger().info("partition.revoked", partition=str(assignment.partition))
        try:
            await asyncio.wait_for(self._ledger.flush(), timeout=LEDGER_SECONDS)
        except TimeoutError:
            return {}  # the outcomes are not safe, so the offsets do not move: the next owner repeats
        return {one.partition: one.progress.last() for one in going if not one.uncommitted}

    def lose(self, partitions: Sequence[Partition]) -> None:
        """Somebody else has them already: cut off what is under way."""
        for partition in partitions:
            assignment = self._router.assignments.get(partition)
            if assignment is None:
                continue
            logger().warning("partition.lost", partition=str(partition))
            self._leave(assignment)
            for task in list(assignment.calls.values()):
                task.cancel()

    async def drain(self, assignments: Sequence[Assignment], seconds: float) -> int:
        """Wait for what is under way, then cut off the rest: it stays undone, for the next owner to settle.

        Returns how many events were cut off.
        """
        until = self._clock.monotonic() + seconds
        while any(not assignment.quiet for assignment in assignments) and self._clock.monotonic() < until:
            await self._clock.sleep(0.01)
        left = sum(assignment.out for assignment in assignments)
        cut = [task for assignment in assignments for task in assignment.calls.values()]
        for task in cut:
            task.cancel()
        await asyncio.gather(*cut, return_exceptions=True)
        return left

    def reread(self, assignment: Assignment) -> None:
        """Drop what waits and read again from the first undone."""
        fresh = assignment.again()
        logger().info("partition.reread", partition=str(assignment.partition), offset=fresh.progress.start)
        self._replace(assignment, fresh)
        self._pauses.release(fresh, "full")
        self._pauses.release(fresh, "crowded")
        self._committer.dirty(fresh)  # what the old one had done may not be committed yet: nothing else would say so

    def restart(self, assignment: Assignment, progress: Progress) -> Assignment:
        """Read it from the start of that progress, held as it is."""
        fresh = Assignment(assignment.partition, progress)
        fresh.holds, fresh.hold, fresh.withheld = assignment.holds, assignment.hold, assignment.withheld
        self._replace(assignment, fresh)
        return fresh

    def _replace(self, assignment: Assignment, fresh: Assignment) -> None:
        """Nothing of the old one may be under way: it is fenced."""
        self._leave(assignment)
        assignment.let_go()
        self._pauses.go_to(assignment, fresh.progress.start)
        self._router.adopt(fresh)

    def _leave(self, assignment: Assignment) -> None:
        self._router.disown(assignment)
        self._router.retire(assignment)
        self._committer.forget(assignment)


def _progress(partition: Partition, commit: Commit | None) -> Progress:
    try:
        return Progress(commit)
    except ForeignMetadata as error:
        logger().warning("commit.foreign_metadata", partition=str(partition), error=str(error))
        assert commit is not None
        return Progress(Commit(commit.offset))
