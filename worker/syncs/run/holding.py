"""One run of a sync at a time in the whole cluster: the lease, held for as long as the block runs."""

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
"""Before a sync's name in the table of leases, where connections have theirs by slug, which has no colon."""
LOOK_S = 0.5

Now = Callable[[], float]


class Holding:
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
        """Another process may have it. Also known to one that stood still, as soon as it goes on and asks."""
        return self._taken or self._monotonic() - self._heard >= SILENCE_SECONDS

    def heard(self, at: float) -> None:
        """A sign of life that began at this moment was taken."""
        self._heard = max(self._heard, at)

    def taken(self) -> None:
        """Another process has it."""
        self._taken = True


@contextmanager
def held(
    store: Engine, sync: str, *, monotonic: Now, patience: float = 0.0, watch: Watch | None = None
) -> Iterator[Holding]:
    """Raises ``SyncBusy`` when another process has it, and still has it after so many seconds.

    One that died does not: its lease is taken over when it has shown no sign of life for 15 seconds. Whoever does not
    wait that long in one call passes the same ``watch`` each time: it remembers since when the lease looks the same.
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
    holding = Holding(found, monotonic)
    pulsing = threading.Thread(target=_pulse, args=(leases, holding, stop, monotonic), daemon=True, name="sync lease")
    pulsing.start()
    try:
        yield holding
    finally:
        stop.set()
        pulsing.join()
        try:
            leases.release(holding.lease)
        except StoreUnavailable as error:  # the next one waits until the lease looks dead
            logger().warning("store.unavailable", error=str(error))


def _pulse(leases: Leases, holding: Holding, stop: threading.Event, monotonic: Now) -> None:
    while not stop.wait(PULSE_SECONDS) and not holding.lost:
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
