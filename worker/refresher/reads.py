"""The connections that a refresh is reading now: meanwhile their writes leave a part of the rate limit to it."""

from __future__ import annotations

from worker.clock import Clock
from worker.refresher.leases import Leases, Watch


class ReadsUnderWay:
    """A worker asks once a second. The lease of a holder that died counts until it would be taken over."""

    def __init__(self, leases: Leases, clock: Clock) -> None:
        self._leases = leases
        self._clock = clock
        self._watch = Watch()

    def __call__(self) -> set[str]:
        """Slugs of connections. Raises ``StoreUnavailable``."""
        now = self._clock.monotonic()
        held = self._leases.held()
        return {connection for connection, one in held.items() if not self._watch.dead(connection, one, now)}
