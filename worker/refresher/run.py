"""One run of one connection, from its lease to its result."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from connectors.connections.store import Connection
from topics.errors import StoreUnavailable, WritebackError
from topics.event.event import new_id
from worker.clock import Clock
from worker.log_events import logger
from worker.refresher.debounce import Batch
from worker.refresher.job import Job, Read, Result
from worker.refresher.leases import PULSE_SECONDS, SILENCE_SECONDS, Held, Lease, Leases, Watch
from worker.refresher.owned import Asked
from worker.refresher.runs import Run, Runs, State


class LeaseLost(WritebackError):
    """Another refresher may have the connection: this run does not count, and is run again."""


class Child(Protocol):
    """The process that does the work: ``child.ChildRun``."""

    async def run(self, job: Job, told: Callable[[Read], None]) -> Result: ...


MakeChild = Callable[[Connection], Child]


@dataclass(slots=True)
class Runner:
    """``holder``: this refresher's name in its leases. ``make_child``: makes the process for a connection's refresh."""

    leases: Leases
    runs: Runs
    make_child: MakeChild
    clock: Clock
    holder: str
    watch: Watch

    async def take(self, connection: str) -> Lease | Held:
        """The lease, or who has it. Raises ``StoreUnavailable``."""
        found = await asyncio.to_thread(self.leases.take, connection, self.holder)
        if isinstance(found, Held) and self.watch.dead(connection, found, self.clock.monotonic()):
            found = await asyncio.to_thread(self.leases.take, connection, self.holder, dead=found)
        if isinstance(found, Lease):
            self.watch.forget(connection)
        return found

    async def release(self, lease: Lease) -> None:
        """Free the lease. If the store does not answer, the next refresher waits until it counts as dead."""
        try:
            await asyncio.to_thread(self.leases.release, lease)
        except StoreUnavailable as error:
            logger().warning("store.unavailable", error=str(error))

    async def run(
        self, lease: Lease, connection: Connection, batch: Batch[Asked], pending: int, limit: float
    ) -> tuple[Run, Result]:
        """Run a refresh to its end, for at most ``limit`` seconds. Cancelling kills it.

        Raises ``LeaseLost``; and ``StoreUnavailable``, when it could not be begun.
        """
        objects = None if batch.scope.objects is None else sorted(batch.scope.objects)
        run = await asyncio.to_thread(
            self.runs.begin,
            new_id(),
            lease,
            asked_by=[asked.request.source for asked in batch.requests],
            requests=len(batch.requests),
            objects=objects,
            full=batch.scope.full,
            pending_writes=pending,
            now=self.clock.now(),
        )
        logger().info(
            "refresh.started",
            connection=run.connection,
            run=run.id,
            requests=run.requests,
            objects=objects,
            full=run.is_full,
            attempt=run.attempt,
            pending_writes=pending,
        )
        job = Job(connection=run.connection, objects=objects, full=run.is_full, run=run.id, lifeline=SILENCE_SECONDS)
        rows: dict[str, int] = {}
        try:
            return run, await self._guarded(lease, self.make_child(connection), job, rows, limit)
        except LeaseLost as error:
            logger().warning("refresh.cut_off", connection=run.connection, run=run.id, reason=str(error))
            await self.write_end(run, "lost", rows, str(error))
            raise
        except asyncio.CancelledError:
            await self.write_end(run, "cancelled", rows, "the refresher stopped, or gave the connection away")
            raise

    async def _guarded(self, lease: Lease, child: Child, job: Job, rows: dict[str, int], limit: float) -> Result:
        working = asyncio.create_task(child.run(job, lambda read: rows.update({read.object: read.rows})))
        keeping = asyncio.create_task(self._keep(lease, job.run, rows))
        try:
            await asyncio.wait({working, keeping}, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                return working.result()
            if keeping.done():
                raise LeaseLost(keeping.result())
            detail = f"cancelled after {limit:g} s, its time limit (connections set --refresh-time-limit)"
            return Result(status="error", rows=rows, seconds=limit, retry=True, detail=detail)
        finally:
            for task in (working, keeping):
                task.cancel()
            await asyncio.gather(working, keeping, return_exceptions=True)

    async def _keep(self, lease: Lease, run: str, rows: dict[str, int]) -> str:
        """Send heartbeats and progress to the store. Returns the reason when the lease counts as lost."""
        heard, told = self.clock.monotonic(), dict(rows)
        while True:
            await self.clock.sleep(PULSE_SECONDS)
            asked = self.clock.monotonic()
            try:
                async with asyncio.timeout(max(0.1, heard + SILENCE_SECONDS - asked)):
                    if not await asyncio.to_thread(self.leases.pulse, lease):
                        return "another refresher has the lease"
                    heard = asked
                    if told != rows:
                        told = dict(rows)
                        await asyncio.to_thread(self.runs.progress, run, told)
            except (StoreUnavailable, TimeoutError) as error:
                logger().warning("store.unavailable", error=str(error))
                if self.clock.monotonic() - heard >= SILENCE_SECONDS:
                    return f"the store has not answered for {SILENCE_SECONDS:g} s"

    async def failures(self, connection: str) -> list[Run]:
        """The attempts before this one, for its letter; none while the store is away."""
        try:
            return await asyncio.to_thread(self.runs.failures, connection)
        except StoreUnavailable as error:
            logger().warning("store.unavailable", error=str(error))
            return []

    async def write_end(self, run: Run, state: State, rows: dict[str, int], error: str = "") -> None:
        """Note the end in the history. If the store is away, the run stays ``running`` there until the next begins."""
        try:
            await asyncio.to_thread(self.runs.end, run.id, state, rows=rows, error=error, now=self.clock.now())
        except StoreUnavailable as unavailable:
            logger().warning("store.unavailable", error=str(unavailable))
