"""After a sleep of the process nothing starts before the log has confirmed what is still ours."""

from __future__ import annotations

from worker.clock import Clock
from worker.engine.intake.router import Router
from worker.engine.settlement.committer import Committer
from worker.log_events import logger
from worker.process.background import BackgroundTasks
from worker.process.suspension import SuspensionDetector

CONFIRM_SECONDS = 0.02


class WakeCheck:
    def __init__(self, router: Router, committer: Committer, clock: Clock, tasks: BackgroundTasks) -> None:
        self._router = router
        self._committer = committer
        self._clock = clock
        self._tasks = tasks
        self._confirming = False
        self.begin()

    def begin(self) -> None:
        """Whatever happened until now was no sleep."""
        self._suspension = SuspensionDetector(self._clock.monotonic())

    def awake(self) -> bool:
        """May calls start? Not after a sleep, before it is known what is still ours; then every lane is pumped."""
        if self._suspension.sign(self._clock.monotonic()):
            return True
        if not self._confirming:
            self._confirming = True
            self._tasks.spawn(self._confirm())
        return False

    async def _confirm(self) -> None:
        """A commit that the log takes from us, begun now, shows that a partition is still ours."""
        while not self._suspension.sure:
            nap = self._suspension.naps
            logger().warning("worker.slept")
            owned = [assignment for assignment in self._router.assignments.values() if not assignment.uncommitted]
            wanted = {assignment: assignment.round + 1 for assignment in owned}
            for assignment in wanted:
                self._committer.insist(assignment)
            while any(not a.closed and a.committed_round < least for a, least in wanted.items()):
                await self._clock.sleep(CONFIRM_SECONDS)
            self._suspension.confirmed(nap)
        self._confirming = False
        for intake in self._router.intakes.values():
            if intake.dispatcher is not None:
                intake.dispatcher.pump()
