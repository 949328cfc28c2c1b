"""Takes a connection whose refresh is due through one run: checks, lease, run, and the answer to everyone who asked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass

from tenacity import wait_exponential

from connectors.connections.refresh.policy import RefreshPolicy, refresh_policy
from connectors.connections.store import Connection, Connections
from connectors.errors import BadConnection, BadManifest, UnknownConnection
from dead_letter.letter.letter import Attempt
from topics.errors import StoreUnavailable
from topics.log import Log
from worker.clock import Clock
from worker.engine.decide.retry import Line
from worker.log_events import logger
from worker.refresher.counts import RefreshCounts
from worker.refresher.debounce import Batch, Debouncer
from worker.refresher.job import Result
from worker.refresher.leases import Held, Lease
from worker.refresher.outcomes import GivenUp, RefreshOutcomes
from worker.refresher.own_writes import undone_writes
from worker.refresher.owned import Asked
from worker.refresher.run import LeaseLost, Runner
from worker.refresher.runs import Run

COVER_SECONDS = 0.25
"""Seconds between two looks at whether the writes that a request comes after are delivered."""
LEASE_SECONDS = 0.5
"""Seconds between two looks at a lease that another holds."""
PAUSED_SECONDS = 1.0
"""Seconds between two looks at a connection that is paused."""
AWAY_SECONDS = 1.0
"""Seconds to wait after the store did not answer, or the lease was lost."""

RETRIES = Line(5, wait_exponential(multiplier=5, max=300))
"""The retries of a failed run, after at most 5, 10, 20, 40 and 80 seconds; then a dead letter."""


@dataclass(frozen=True, slots=True)
class Turns:
    """``upgrade``: moves a connection to the newest version of its connector, for a full refresh.

    ``done``: commits the requests of a batch, and returns when the log has it. ``spawn``: starts a task that a stop
    waits for. ``worker_group``: the consumer group whose commits tell which writes are done.
    """

    log: Log
    connections: Connections
    runner: Runner
    upgrade: Callable[[Connection], Connection]
    debouncer: Debouncer[Asked]
    outcomes: RefreshOutcomes
    done: Callable[[Batch[Asked]], Awaitable[None]]
    spawn: Callable[[Coroutine[None, None, None]], asyncio.Task[None]]
    counts: RefreshCounts
    clock: Clock
    worker_group: str

    async def take(self, slug: str) -> float | None:
        """Run the connection's refresh. Returns None when it has run, else the seconds until the next try.

        Requests that come before that join the same run. Raises ``StoreUnavailable`` and ``LogUnavailable`` when the
        run could not begin.
        """
        try:
            connection = await asyncio.to_thread(self._connection, slug)
            policy = refresh_policy(connection)
        except UnknownConnection as error:
            await self._give_up(self.debouncer.start(slug), GivenUp("unknown-connection", str(error)))
            return None
        except BadConnection as error:
            await self._give_up(self.debouncer.start(slug), GivenUp("rejected", str(error)))
            return None
        if connection.state == "paused":
            return PAUSED_SECONDS
        pending = await self._undone_writes(slug)
        if pending and not self.debouncer.overdue(slug, self.clock.monotonic()):
            return COVER_SECONDS
        lease = await self.runner.take(slug)
        if isinstance(lease, Held):
            return LEASE_SECONDS
        try:
            await self._run(lease, connection, policy, pending)
        finally:
            await self.runner.release(lease)
        return None

    def _connection(self, slug: str) -> Connection:
        connection = self.connections.get(slug)
        if connection.slug != slug:  # ``get`` also finds by name, and this one looks like a slug
            raise UnknownConnection(f"no connection has the slug {slug!r}")
        return connection

    async def _undone_writes(self, slug: str) -> int:
        waiting = self.debouncer.waiting(slug)
        requests = [asked.request for asked in waiting.requests if asked.request.after] if waiting else []
        if not requests:
            return 0
        return await asyncio.to_thread(undone_writes, self.log, self.worker_group, slug, requests)

    async def _run(self, lease: Lease, connection: Connection, policy: RefreshPolicy, pending: int) -> None:
        batch = self.debouncer.start(connection.slug)
        try:
            if batch.scope.full:
                connection = await asyncio.to_thread(self.upgrade, connection)
            run, result = await self.runner.run(lease, connection, batch, pending, policy.time_limit)
        except (StoreUnavailable, LeaseLost) as error:
            logger().warning("refresh.waiting", connection=connection.slug, reason=str(error))
            self.debouncer.ended(batch, again_at=self.clock.monotonic() + AWAY_SECONDS)
        except (BadConnection, BadManifest) as error:
            # the newest version of the connector refuses its settings, or is broken
            await self._give_up(batch, GivenUp("rejected", str(error)))
        else:
            await asyncio.shield(self.spawn(self._settle(connection, batch, run, result)))

    async def _settle(self, connection: Connection, batch: Batch[Asked], run: Run, result: Result) -> None:
        seconds = self.clock.now() - run.started
        again = result.retry and run.attempt <= RETRIES.more
        if result.status == "ok":
            self.counts.ended(connection.slug, "ok", seconds, result.rows)
            await self._succeed(batch, run, result, seconds)
        elif again:
            self.counts.ended(connection.slug, "failed", seconds, result.rows)
            await self._again(batch, run, result)
        else:
            self.counts.ended(connection.slug, "dead", seconds, result.rows)
            await self._fail(connection, batch, run, result, seconds)

    async def _succeed(self, batch: Batch[Asked], run: Run, result: Result, seconds: float) -> None:
        logger().info(
            "refresh.ended", connection=run.connection, run=run.id, seconds=round(seconds, 3), rows=result.rows
        )
        await self.runner.write_end(run, "ok", result.rows)
        await self.outcomes.answer(batch.requests, run, result)
        await self.done(batch)

    async def _again(self, batch: Batch[Asked], run: Run, result: Result) -> None:
        pause = RETRIES.ceiling(run.attempt) * self.clock.roll()
        logger().warning(
            "refresh.failed",
            connection=run.connection,
            run=run.id,
            attempt=run.attempt,
            reason=result.detail,
            retry_in=round(pause, 1),
        )
        await self.runner.write_end(run, "failed", result.rows, result.detail)
        self.debouncer.ended(batch, again_at=self.clock.monotonic() + pause)

    async def _fail(
        self, connection: Connection, batch: Batch[Asked], run: Run, result: Result, seconds: float
    ) -> None:
        before = await self.runner.failures(connection.slug)
        await self.runner.write_end(run, "dead", result.rows, result.detail)
        outcome = "retry" if result.retry else "rejected"
        last = Attempt(run.attempt, run.started, outcome, result.detail, 1_000 * seconds)
        given_up = GivenUp(
            "exhausted" if result.retry else "rejected",
            result.detail,
            (*map(_attempt, before), last),
            connection.connector,
            connection.version,
        )
        await self._give_up(batch, given_up)

    async def _give_up(self, batch: Batch[Asked], given_up: GivenUp) -> None:
        self.counts.dead_lettered[batch.connection] += len(batch.requests)
        await self.outcomes.bury(batch.requests, given_up)
        await self.done(batch)


def _attempt(run: Run) -> Attempt:
    return Attempt(run.attempt, run.started, "retry", run.error, 1_000 * (run.seconds or 0.0))
