"""Runs the syncs that are due: each once at a time in the whole cluster; one run makes up for all missed moments."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

from topics.errors import WritebackError
from worker.clock import Clock
from worker.log_events import logger
from worker.syncs.definition.load import SYNCS
from worker.syncs.definition.model import Sync
from worker.syncs.due import latest
from worker.syncs.errors import GuardStopped, SyncBusy, SyncError
from worker.syncs.run.run import Asked, Runner
from worker.syncs.state.syncs import Syncs

LOOK_S = 2.0
"""Seconds between two checks of what is due, and of the outcomes of what was sent."""
AT_ONCE = 2
"""Syncs that run side by side in one process."""
RETRY_S = 60.0
LONGEST_S = 960.0
"""The longest wait in seconds before a failed run is tried again; the first is one minute, each next twice as long."""
ASKED_BY = "schedule"


class Stopping(SyncError):
    """The process is about to end."""


class Scheduler:
    """Any number of schedulers may run, in any processes. ``ended``: this one's runs, by (sync, how they ended)."""

    def __init__(self, runner: Runner, folder: Path, clock: Clock) -> None:
        self._runner = runner
        self._folder = folder
        self._clock = clock
        self._running: dict[str, asyncio.Task[None]] = {}
        self._not_before: dict[str, float] = {}
        self._failures: Counter[str] = Counter()
        self._told: set[str] = set()
        self._looked = False
        self._stopping = False
        self.ended: Counter[tuple[str, str]] = Counter()

    async def run(self, stop: asyncio.Event) -> None:
        """Work until ``stop`` is set. A run under way then ends with its present batch; the next run goes on there."""
        while not stop.is_set():
            try:
                await self._look()
            except WritebackError as error:  # the store or the log is away: tried again at the next look
                logger().warning("sync.waiting", sync="", reason=str(error))
            try:
                await asyncio.wait_for(stop.wait(), LOOK_S)
            except TimeoutError:
                continue
        self._stopping = True
        await asyncio.gather(*self._running.values(), return_exceptions=True)

    async def unready(self) -> str:
        """Why it cannot work; empty when it can."""
        return "" if self._looked else "the syncs were not looked at yet"

    async def _look(self) -> None:
        syncs, wrong = await asyncio.to_thread(SYNCS.readable, self._folder)
        for reason in set(wrong) - self._told:
            logger().error("sync.unreadable", reason=reason)
        self._told = set(wrong)
        for sync in syncs.values():
            if len(self._running) < AT_ONCE and sync.schedule and sync.name not in self._running:
                await self._consider(sync)
        if syncs:
            await asyncio.to_thread(self._runner.outcomes().catch_up)
        self._looked = True

    async def _consider(self, sync: Sync) -> None:
        now = self._clock.now()
        if self._clock.monotonic() < self._not_before.get(sync.name, 0.0):
            return
        standings = Syncs(self._runner.store)
        standing = await asyncio.to_thread(standings.standing, sync.name)
        due = latest(sync, now, standing.due)
        if standing.due is None and due is None:
            await asyncio.to_thread(standings.set_due, sync.name, now)  # a new sync with cron waits for its next moment
        if due is None or standing.paused:
            return
        task = asyncio.create_task(asyncio.to_thread(self._run, sync, due))
        self._running[sync.name] = task
        task.add_done_callback(lambda _: self._running.pop(sync.name, None))

    def _run(self, sync: Sync, due: float) -> None:
        """Runs in a thread. A run that fails is tried again for the same moment of the schedule."""
        try:
            ended = self._runner.run(sync, Asked(ASKED_BY, due=due, reading=self._tick, sending=self._tick))
        except SyncBusy as error:
            logger().info("sync.waiting", sync=sync.name, reason=str(error))
        except GuardStopped as error:  # the run has marked this moment as done: not retried
            self.ended[sync.name, "stopped"] += 1
            logger().warning("sync.stopped", sync=sync.name, reason=str(error))
        except WritebackError as error:
            logger().warning("sync.failed", sync=sync.name, reason=str(error), retry_in=self._put_off(sync))
        except Exception as bug:  # noqa: BLE001 - a bug of one sync ends no other; the run's history has it, too
            reason = f"{type(bug).__name__}: {bug}"
            logger().exception("sync.failed", sync=sync.name, reason=reason, retry_in=self._put_off(sync))
        else:
            run = ended.run
            logger().info("sync.ended", sync=sync.name, run=run.id, read=run.read, sent=run.sent, refused=run.refused)
            self.ended[sync.name, "ok"] += 1
            self._failures.pop(sync.name, None)

    def _put_off(self, sync: Sync) -> float:
        """Delay the next try of a sync that failed; returns the delay in seconds."""
        wait = min(RETRY_S * 2.0 ** self._failures[sync.name], LONGEST_S)
        self._failures[sync.name] += 1
        self.ended[sync.name, "failed"] += 1
        self._not_before[sync.name] = self._clock.monotonic() + wait
        return wait

    def _tick(self, _count: int) -> None:
        if self._stopping:
            raise Stopping("the scheduler stops; the next run goes on where this one was")
