"""What the parts of a connection share, and what they ask of the worker around them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from worker.clock import Clock
from worker.engine.counters import Counters
from worker.engine.decide.retry import RetryPolicy
from worker.engine.lane.assignment import Assignment, Delivery
from worker.engine.passes import PassLimit
from worker.engine.settlement.outcomes import Outcomes


class WorkerPort(Protocol):
    """The worker, as a connection sees it."""

    def awake(self) -> bool:
        """May calls start? Not after a sleep, before it is known what is still ours; then every lane is pumped."""

    def dirty(self, assignment: Assignment) -> None:
        """Something of it is done."""

    def urgent(self, assignment: Assignment) -> None:
        """Calls wait for its commit and nothing else is ready."""

    def finished(self, delivery: Delivery) -> None:
        """One event less in the buffers."""

    def hold(self, assignment: Assignment, why: str) -> None: ...

    def release(self, assignment: Assignment, why: str) -> None: ...

    def reread(self, assignment: Assignment) -> None:
        """Drop what waits and read again from the first undone."""

    def quarantine(self, slug: str, reason: str) -> None:
        """The vendor refuses nearly everything: pause the connection and write it down."""

    def failed(self, error: BaseException) -> None:
        """A bug of ours: the worker ends loudly instead of leaving an event out for ever."""


@dataclass(frozen=True, slots=True)
class DispatchContext:
    """What all connections of a worker share."""

    worker: WorkerPort
    outcomes: Outcomes
    clock: Clock
    policy: RetryPolicy
    passes: PassLimit
    counters: Counters = field(default_factory=Counters)


@dataclass(slots=True)
class Call:
    """One call that came back.

    Begun ``at`` (epoch seconds), ``ended`` (monotonic), ``ms`` long; ``trial``: it was a half-open breaker's, and
    nothing of it was answered. ``told``: there is a line about it in the log.
    """

    at: float
    ended: float
    ms: float
    trial: bool = False
    told: bool = False
