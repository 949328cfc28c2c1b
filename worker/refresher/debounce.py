"""Decides when a refresh runs, so that many requests cause few runs. Pure: it is told the time.

A trailing-edge debounce with a longest wait: a run starts ``quiet`` seconds after the last request, and at the latest
``max_wait`` seconds after the first. A connection has one run at a time. A request that comes during a run is not
answered by it, since the run may have read the records before they were changed: it causes another run.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

QUIET_SECONDS = 5.0
MAX_WAIT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds. Where ``quiet`` is longer than ``max_wait``, ``max_wait`` decides."""

    quiet: float = QUIET_SECONDS
    max_wait: float = MAX_WAIT_SECONDS


DEFAULT = Timing()


@dataclass(frozen=True, slots=True)
class Scope:
    """What is loaded: these objects, or everything (None). ``full``: all records, not only those that changed."""

    objects: frozenset[str] | None = None
    full: bool = False

    def __or__(self, other: Scope) -> Scope:
        everything = self.objects is None or other.objects is None
        objects = None if everything else (self.objects or frozenset()) | (other.objects or frozenset())
        return Scope(objects, self.full or other.full)


@dataclass(slots=True)
class Batch(Generic[T]):
    """What one run answers. ``requests``: in the log's order; ``first``, ``last``: when the first and the last came."""

    connection: str
    scope: Scope
    requests: list[T]
    first: float
    last: float


class _Connection(Generic[T]):
    """``not_before``: set after a failed run, or by ``hold``. ``entry``: the time of its entry in the heap."""

    __slots__ = ("entry", "not_before", "running", "timing", "waiting")

    def __init__(self) -> None:
        self.timing = DEFAULT
        self.waiting: Batch[T] | None = None
        self.running: Batch[T] | None = None
        self.not_before = float("-inf")
        self.entry: float | None = None

    @property
    def due(self) -> float:
        """When its next run starts; infinity when nothing waits, or while one runs."""
        if self.waiting is None or self.running is not None:
            return float("inf")
        trailing = min(self.waiting.last + self.timing.quiet, self.waiting.first + self.timing.max_wait)
        return max(trailing, self.not_before)


class Debouncer(Generic[T]):
    """All connections of one refresher. ``T`` is whatever the caller has to remember of a request.

    Every moment is in the seconds of one clock that never jumps.
    """

    def __init__(self) -> None:
        self._connections: dict[str, _Connection[T]] = {}
        self._queue: list[tuple[float, str]] = []

    def set_timing(self, connection: str, timing: Timing) -> None:
        """Called before each request, since an idle connection is forgotten. Applies to waiting requests as well."""
        one = self._one(connection)
        if one.timing != timing:
            one.timing = timing
            self._enqueue(connection, one)

    def ask(self, connection: str, request: T, scope: Scope, now: float, *, age: float = 0.0) -> None:
        """Add a request. ``age``: the seconds it has been in the log, which count towards ``max_wait``.

        Even an old request waits ``quiet`` seconds, so that requests which follow it in the log join the same run.
        """
        one = self._one(connection)
        first = now - max(0.0, min(age, one.timing.max_wait - one.timing.quiet))
        if one.waiting is None:
            one.waiting = Batch(connection, scope, [request], first, now)
        else:
            one.waiting.scope |= scope
            one.waiting.requests.append(request)
            one.waiting.last = now
        if one.entry is None:
            self._enqueue(connection, one)

    def due(self, now: float) -> str | None:
        """The connection whose run should have started first, if any is due. Changes nothing."""
        self._settle_queue(now)
        return self._queue[0][1] if self._queue and self._queue[0][0] <= now else None

    def next_deadline(self) -> float | None:
        """When to ask ``due`` again; None when nothing waits."""
        self._settle_queue(float("inf"))
        return self._queue[0][0] if self._queue else None

    def waiting(self, connection: str) -> Batch[T] | None:
        """What the next run will cover, as far as it is known."""
        one = self._connections.get(connection)
        return one.waiting if one else None

    def overdue(self, connection: str, now: float) -> bool:
        """Whether the oldest waiting request has waited for ``max_wait`` seconds."""
        one = self._one(connection)
        return one.waiting is not None and now >= one.waiting.first + one.timing.max_wait

    def hold(self, connection: str, until: float) -> None:
        """Start no run before ``until``; requests are still collected."""
        one = self._one(connection)
        one.not_before = until
        self._enqueue(connection, one)

    def start(self, connection: str) -> Batch[T]:
        """Begin a run that answers the waiting requests; later ones are not added to it."""
        one = self._one(connection)
        if one.waiting is None or one.running is not None:
            raise ValueError(f"{connection} has nothing to run, or runs already")
        one.running, one.waiting = one.waiting, None
        one.not_before = float("-inf")
        return one.running

    def ended(self, batch: Batch[T], *, again_at: float | None = None) -> bool:
        """The run has ended. With ``again_at`` its requests are not done: they wait for another run, from then on.

        Returns False, and changes nothing, when the connection was withdrawn meanwhile.
        """
        one = self._connections.get(batch.connection)
        if one is None or one.running is not batch:
            return False
        if again_at is not None:
            one.waiting = _joined(batch, one.waiting)
            one.not_before = again_at
        one.running = None
        self._enqueue(batch.connection, one)
        self._forget_if_idle(batch.connection, one)
        return True

    def withdraw(self, connection: str) -> list[T]:
        """Forget a connection that another refresher has now. Returns the requests that were running or waiting."""
        one = self._connections.pop(connection, None)
        batches = (one.running, one.waiting) if one else ()
        return [request for batch in batches if batch is not None for request in batch.requests]

    def requests(self) -> Iterator[tuple[str, T]]:
        """All requests that are not done, with their connections."""
        for name, one in self._connections.items():
            for batch in (one.running, one.waiting):
                if batch is not None:
                    yield from ((name, request) for request in batch.requests)

    def __len__(self) -> int:
        """Requests that wait for a run to start."""
        return sum(len(one.waiting.requests) for one in self._connections.values() if one.waiting is not None)

    def _one(self, connection: str) -> _Connection[T]:
        known = self._connections.get(connection)
        if known is None:
            known = self._connections[connection] = _Connection()
        return known

    def _forget_if_idle(self, connection: str, one: _Connection[T]) -> None:
        """An idle connection need not be kept: ``set_timing`` comes again with its next request."""
        if one.waiting is None and one.running is None:
            del self._connections[connection]

    def _enqueue(self, connection: str, one: _Connection[T]) -> None:
        """Put the connection's one valid entry into the heap.

        A request that moves the due time leaves the old entry there. ``_settle_queue`` corrects it when its time has
        come, so a request costs no search in the heap.
        """
        due = one.due
        one.entry = due if due < float("inf") else None
        if one.entry is not None:
            heapq.heappush(self._queue, (due, connection))

    def _settle_queue(self, now: float) -> None:
        """Drop or correct outdated entries until the first one is right, or lies in the future."""
        while self._queue and self._queue[0][0] <= now:
            moment, connection = self._queue[0]
            one = self._connections.get(connection)
            valid = one if one is not None and one.entry == moment else None
            if valid is not None and valid.due == moment:
                return
            heapq.heappop(self._queue)
            if valid is not None:
                self._enqueue(connection, valid)


def _joined(before: Batch[T], after: Batch[T] | None) -> Batch[T]:
    if after is None:
        return before
    requests = [*before.requests, *after.requests]
    return Batch(before.connection, before.scope | after.scope, requests, before.first, after.last)
