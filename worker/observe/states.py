"""How each connection is, as this worker sees it: for its metrics and its endpoint, the store, and the ledger."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import cast

from connectors.connections.standing import Standing
from topics.event.result import ConnectionState, StateChange
from worker.clock import Clock
from worker.engine.dispatch.dispatch import Dispatcher
from worker.engine.intake.intake import ConnectionIntake

MAX_REASON = 400
"""Characters of a reason that are told."""
SETTLED_SECONDS = 3.0
"""A connection that is being opened or changed for longer than this is told to wait."""
OUTAGE = frozenset({"down", "half-open"})
SAME_SECONDS = 1.0
"""Two ends of a wait that are closer are the same: the wall clock and the worker's own do not go in step."""


class States:
    """Looked at every second: what comes and goes in between (a probe that is answered at once) is in the log events.

    ``tell`` is called for every change, in order. ``opened``: how often the breaker of a connection opened.
    ``refusal``: of a slug, why the log does not take a letter of it now, if so.
    """

    def __init__(self, clock: Clock, tell: Callable[[StateChange], None], refusal: Callable[[str], str | None]) -> None:
        self._clock = clock
        self._tell = tell
        self._refusal = refusal
        self._unsettled: dict[str, float] = {}
        self.current: dict[str, Standing] = {}
        self.opened: defaultdict[str, int] = defaultdict(int)

    def look(self, intakes: Iterable[ConnectionIntake]) -> None:
        for intake in intakes:
            if not intake.assignments or (intake.idle and not _is_held(intake)):
                self.current.pop(intake.slug, None)  # its next owner tells how it is, or its next event
                self._unsettled.pop(intake.slug, None)
            elif (seen := self._seen(intake)) is not None:
                self._unsettled.pop(intake.slug, None)
                self.changed(seen)
            elif self._clock.monotonic() - self._since(intake.slug) >= SETTLED_SECONDS:
                self.changed(Standing(intake.slug, "waiting", "it is being opened, or its calls end before a change"))

    def changed(self, seen: Standing) -> None:
        """The same again tells nothing; a new end of the same wait is remembered."""
        slug, now = seen.connection, self._clock.now()
        known = self.current.get(slug)
        reason = seen.reason[:MAX_REASON]
        if known is not None and known.state == seen.state:
            if known.reason != reason or not _same(known.until, seen.until):
                self.current[slug] = replace(known, reason=reason, until=seen.until)
            return
        outage = known is not None and known.state in OUTAGE and seen.state in OUTAGE
        if seen.state == "down" and not outage:
            self.opened[slug] += 1
        since = known.since if known is not None and outage else now
        self.current[slug] = replace(seen, reason=reason, since=since)
        state = cast("ConnectionState", seen.state)  # what can only be seen from outside no worker says
        self._tell(StateChange(slug, state, reason, now, seen.until))

    def _since(self, slug: str) -> float:
        return self._unsettled.setdefault(slug, self._clock.monotonic())

    def _seen(self, intake: ConnectionIntake) -> Standing | None:
        """None while it is being opened, closed or changed."""
        held = [one.hold.reason for one in intake.assignments.values() if one.hold is not None]
        if (refused := self._refusal(intake.slug)) is not None:
            held.append(refused)
        if held:
            more = f" (and {len(held) - 1} more)" if len(held) > 1 else ""
            return Standing(intake.slug, "held", held[0] + more)
        if intake.state in {"held", "unknown"}:
            return Standing(intake.slug, "held", intake.reason, until=self._moment(intake.again_at))
        dispatcher = intake.dispatcher
        if dispatcher is None or any(one.withheld for one in intake.assignments.values()):
            return None
        connection = dispatcher.connection
        if connection.state != "active":
            return Standing(intake.slug, connection.state, connection.state_reason)
        if dispatcher.destination.paused or any(one.catching_up for one in intake.assignments.values()):
            return None
        return self._of_destination(intake.slug, dispatcher)

    def _of_destination(self, slug: str, dispatcher: Dispatcher) -> Standing:
        destination = dispatcher.destination
        breaker = destination.breaker
        if breaker.state == "open":
            return Standing(slug, "down", breaker.reason, until=self._moment(breaker.probe_at))
        wait = destination.throttle.long_wait(self._clock.monotonic()) if dispatcher.lane.records else None
        if wait is not None:
            return Standing(slug, "throttled", wait[1], until=self._moment(wait[0]))
        return Standing(slug, "half-open", breaker.reason) if breaker.state == "half-open" else Standing(slug, "active")

    def _moment(self, monotonic: float) -> float:
        """On the wall clock."""
        return self._clock.now() + monotonic - self._clock.monotonic()


def _is_held(intake: ConnectionIntake) -> bool:
    return any(assignment.hold is not None or assignment.withheld for assignment in intake.assignments.values())


def _same(known: float | None, seen: float | None) -> bool:
    if known is None or seen is None:
        return known is seen
    return abs(known - seen) < SAME_SECONDS
