"""One run of a sync at a time in the whole cluster: whoever runs it holds its lease."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from socket import gethostname

from sqlalchemy import Engine

from topics.errors import StoreUnavailable
from worker.log_events import logger
from worker.refresher.leases import PULSE_SECONDS, SILENCE_SECONDS, Held, Lease, Leases, Watch
from worker.syncs.errors import SyncBusy

PREFIX = "sync:"
"""Begins a sync's name in the table of leases. The leases of connections are there by slug, which has no colon."""
LOOK_S = 0.5

Now = Callable[[], float]


class HeldLease:
    """The lease of one sync."""

    def __init__(self, lease: Lease, monotonic: Now) -> None:
        self.lease = lease
        self._monotonic = monotonic
        self._heard = monotonic()
        self._taken = False

    @property
    def epoch(self) -> int:
        return self.lease.epoch

    @property
    def lost(self) -> bool:
        """Whether another process may have the lease.

        Asks the clock, so that a process which was suspended knows it as soon as it goes on.
        """
        return self._taken or self._monotonic() - self._heard >= SILENCE_SECONDS

    def heard(self, at: float) -> None:
        """The store took the heartbeat that was sent at this moment."""
        self._heard = max(self._heard, at)

    def taken(self) -> None:
        """Another process has the lease."""
        self._taken = True


@contextmanager
def held(
    store: Engine, sync: str, *, monotonic: Now, patience: float = 0.0, watch: Watch | None = None
) -> Iterator[HeldLease]:
    """Hold the lease of a sync. Raises ``SyncBusy`` when another process holds it for more than ``patience`` seconds.

    The lease of a process that died is taken over after 15 seconds without a heartbeat. A caller with less patience
    passes the same ``watch`` with each call: it remembers since when the lease has had no heartbeat.
    """
    leases, watch, name = Leases(store), watch or Watch(), _named(sync)
    me, stop, since = f"{gethostname()}:{os.getpid()}", threading.Event(), monotonic()
    while True:
        found = leases.take(name, me)
        if isinstance(found, Held) and watch.dead(name, found, monotonic()):
            found = leases.take(name, me, dead=found)
        if isinstance(found, Lease):
            break
        if monotonic() - since >= patience:
            raise SyncBusy(f"sync {sync} is run by {found.holder or 'another process'} now")
        stop.wait(LOOK_S)
    holding = HeldLease(found, monotonic)
    pulsing = threading.Thread(target=_pulse, args=(leases, holding, stop, monotonic), daemon=True, name="sync lease")
    pulsing.start()
    try:
        yield holding
    finally:
        stop.set()
        pulsing.join()
        try:
            leases.release(holding.lease)
        except StoreUnavailable as error:  # not released: the next process waits until it counts as dead
            logger().warning("store.unavailable", error=str(error))


def _pulse(leases: Leases, holding: HeldLease, stop: threading.Event, monotonic: Now) -> None:
    """Also after a silence: a pulse that is taken says that nobody else has the lease, and they begin to wait anew."""
    while not stop.wait(PULSE_SECONDS):
        asked = monotonic()
        try:
            if not leases.pulse(holding.lease):
                holding.taken()
                return
            holding.heard(asked)
        except StoreUnavailable as error:
            logger().warning("store.unavailable", error=str(error))


def _named(sync: str) -> str:
    return f"{PREFIX}{sync}"[:63]
