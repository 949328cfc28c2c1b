"""Which connections a refresh reads now: their writes leave it its part of the quota meanwhile."""

from __future__ import annotations

from worker.clock import Clock
from worker.refresher.leases import Leases, Watch


class ReadsUnderWay:
    """Asked by a worker once a second. A lease whose holder has died counts until it looks dead."""

    def __init__(self, leases: Leases, clock: Clock) -> None:
        self._leases = leases
        self._clock = clock
        self._watch = Watch()

    def __call__(self) -> set[str]:
        """Slugs of connections. Raises ``StoreUnavailable``."""
        now = self._clock.monotonic()
        held = self._leases.held()
        return {connection for connection, one in held.items() if not self._watch.dead(connection, one, now)}
