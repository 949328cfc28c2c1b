"""How each connection is, as this worker sees it: for the metrics, and told on ``writeback.results``."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable

from topics.event.result import ConnectionState, StateChange
from worker.clock import Clock
from worker.intake.intake import ConnectionIntake

MAX_REASON = 300
"""Characters of a reason that are told."""


def seen(intake: ConnectionIntake) -> tuple[ConnectionState, str] | None:
    """The state of a connection and why; None while it is being opened, closed or changed."""
    if intake.state in ("held", "unknown"):
        return intake.state, intake.reason
    dispatcher = intake.dispatcher
    if dispatcher is None:
        return None
    connection, breaker = dispatcher.connection, dispatcher.destination.breaker
    if connection.state != "active":
        return connection.state, connection.state_reason
    if dispatcher.destination.paused:
        return None
    if breaker.state == "closed":
        return "open", ""
    return ("down", breaker.reason) if breaker.state == "open" else ("half-open", breaker.reason)


class States:
    """Looked at every second: what comes and goes in between (a probe that is answered at once) is in the log events.

    ``tell`` is called for every change, in order. ``opened``: how often the breaker of a connection opened.
    """

    def __init__(self, clock: Clock, tell: Callable[[StateChange], None]) -> None:
        self._clock = clock
        self._tell = tell
        self.current: dict[str, StateChange] = {}
        self.opened: defaultdict[str, int] = defaultdict(int)

    def look(self, intakes: Iterable[ConnectionIntake]) -> None:
        for intake in intakes:
            if not intake.assignments:
                self.current.pop(intake.slug, None)  # its next owner tells how it is
            elif (state := seen(intake)) is not None:
                self.changed(intake.slug, *state)

    def changed(self, connection: str, state: ConnectionState, reason: str = "") -> None:
        """Saying the same again changes nothing."""
        known = self.current.get(connection)
        if known is not None and known.state == state:
            return
        if state == "down" and (known is None or known.state != "half-open"):
            self.opened[connection] += 1
        change = StateChange(connection, state, reason[:MAX_REASON], self._clock.now())
        self.current[connection] = change
        self._tell(change)
