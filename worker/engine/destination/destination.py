"""One connection's destination: how fast it may be called, whether it is there, whether it takes what it is sent."""

from __future__ import annotations

from collections.abc import Sequence

from connectors.connections.store import Connection
from connectors.contract import READ_SHARE, Connector, Down, Retry, Throttled, Unknown, Verdict
from worker.engine.destination.breaker import Breaker, Quarantine
from worker.engine.destination.throttle import Throttle
from worker.engine.lane.functions import limits_of
from worker.engine.lane.lane import Lane
from worker.engine.ports import DispatchContext
from worker.log_events import logger

KEYS_IN_A_ROW = 8
"""Keys that may be told to wait, one after another and none taken between them, before the connection waits."""


class Destination:
    """Throttle, breaker and quarantine of a connection; its partitions are paused while nothing can go out.

    ``paused``: an operator said so, or it is quarantined. Raises ``BadConnection`` for limits that cannot be kept.
    """

    def __init__(self, connection: Connection, connector: Connector, lane: Lane, context: DispatchContext) -> None:
        self.limits = limits_of(connection, connector)
        self.throttle = Throttle(self.limits)
        self.breaker = Breaker()
        self.paused = False
        self._is_read = False
        self._limited: set[str] = set()
        self._ended = Quarantine()
        self._received = Quarantine()
        self._slug = connection.slug
        self._partitions = connection.partitions
        self._connector = connector
        self._lane = lane
        self._worker = context.worker
        self._clock = context.clock

    def share(self) -> None:
        """Partitions came or went: the quota belongs to their owners, in equal parts."""
        owned = len(self._lane.assignments)
        part = min(1.0, max(owned, 1) / max(1, self._partitions))
        self.throttle.share(part, of_rate=1.0 - READ_SHARE if self._is_read else 1.0)
        for assignment in self._lane.assignments.values():
            if self.breaker.state == "open":
                self._worker.hold(assignment, "down")
            if self.paused:
                self._worker.hold(assignment, "paused")

    def share_with_read(self, *, under_way: bool) -> None:
        """A refresh reads this connection, or has ended: it and the writes keep to one quota."""
        if under_way != self._is_read:
            self._is_read = under_way
            self.share()

    # -- what calls say of it ---------------------------------------------------------------------------------------

    def called(self, verdicts: Sequence[Verdict], now: float, out: int) -> bool:
        """A call came back; True when it was a half-open breaker's trial and nothing of it was answered."""
        self._observe(now, out)
        trial = self.breaker.state == "half-open"
        answered = failed = None
        for verdict in verdicts:
            if isinstance(verdict, Retry | Unknown):
                failed = verdict
            elif not isinstance(verdict, Down):
                answered = verdict
                break
        if answered is not None:
            if not isinstance(answered, Throttled):
                self.throttle.answered(now, out)
                self._limited.clear()
            elif answered.scope == "connection":
                self.throttle.refused(out)
            self.answered()
            return False
        if failed is not None:
            self.failed(now, failed.reason)
        return trial

    def all_keys_limited(self, key: str) -> bool:
        """True when the vendor asks one key after another to wait.

        Then the limit is the connection's, whatever the vendor's documentation calls it.
        """
        self._limited.add(key)
        return len(self._limited) > KEYS_IN_A_ROW

    def answered(self) -> None:
        """The vendor answered, yes or no."""
        if self.breaker.answered():
            logger().info("breaker.closed", connection=self._slug)
            self._release("down")

    def failed(self, now: float, reason: str) -> None:
        """A call failed in a way that may be the destination's."""
        if self.breaker.state != "open" and self.breaker.failed(now, reason):
            self._opened()

    def down(self, now: float, reason: str, after: float | None) -> None:
        """It is out, or its credentials are."""
        if self.breaker.down(now, reason, after):
            self._opened()

    def judge(self, *, rejected: bool) -> None:
        """Count how an event ended; a flood of refusals quarantines the connection."""
        if self._ended.outcome(refused=rejected):
            self._quarantine("more than half of the last 200 events were rejected")

    def received(self, *, hopeless: bool) -> None:
        """An event came; a flood of such as need no call to be refused (malformed, of unknown objects) quarantines.

        Counted apart: they are known at once, and the calls for what came between them are still to be made.
        """
        if self._received.outcome(refused=hopeless):
            self._quarantine("more than half of the last 200 events that came were malformed or not for this connector")

    def _quarantine(self, reason: str) -> None:
        if not self.paused:
            self._ended.reset()
            self._received.reset()
            self.paused = True
            self._worker.quarantine(self._slug, reason)

    def _observe(self, now: float, out: int) -> None:
        try:
            quota = self._connector.quota()
        except Exception as bug:  # noqa: BLE001 - a header that a connector cannot read is no reason to lose its answer
            logger().exception("delivery.bug", connection=self._slug, error=repr(bug))
            return
        if quota is not None:
            self.throttle.observe(quota, now, out)

    # -- while it is out --------------------------------------------------------------------------------------------

    async def probe(self) -> None:
        """Ask whether it is there again. While it is not, what waits is dropped from memory."""
        try:
            answer = await self._connector.probe()
        except Exception as bug:  # noqa: BLE001 - a probe that fails is a no
            logger().exception("delivery.bug", connection=self._slug, error=repr(bug))
            answer = Down(repr(bug))
        now = self._clock.monotonic()
        if isinstance(answer, Down):
            self.breaker.probed(now, up=False, reason=answer.reason, after=answer.after)
            self.shed()
            return
        if isinstance(answer, Throttled):
            self.throttle.throttled(now, answer.after, answer.reason)
        self.breaker.probed(now, up=True)
        logger().info("breaker.half_open", connection=self._slug)
        self._release("down")

    def shed(self) -> None:
        """Nothing can go out: drop the waiting records from memory, and read them again when something can."""
        for assignment in list(self._lane.assignments.values()):
            if assignment.records and assignment.quiet:
                self._worker.reread(assignment)

    def pause(self) -> None:
        self.paused = True
        for assignment in self._lane.assignments.values():
            self._worker.hold(assignment, "paused")

    def _opened(self) -> None:
        logger().warning("breaker.opened", connection=self._slug, reason=self.breaker.reason)
        for assignment in self._lane.assignments.values():
            self._worker.hold(assignment, "down")

    def _release(self, why: str) -> None:
        for assignment in self._lane.assignments.values():
            self._worker.release(assignment, why)
