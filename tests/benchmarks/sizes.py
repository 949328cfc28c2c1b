"""How large the benchmarks are."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    rounds: int = 3
    peer_rounds: int = 1
    """Each peer takes half a minute, the loops beside it included."""
    pairs: int = 2
    """How often one and two processes are measured, in turns."""
    single: int = 10_000
    slow: int = 2_560
    """Single calls to the API that answers in 500 ms: five seconds of 256 at once."""
    rows: int = 10_000
    """Of the table that is imported over the embedded log."""
    keys: int = 1_000
    batch: int = 100_000
    backlogs: tuple[int, int] = (10_000, 100_000)
    emitted: int = 20_000
    idle: int = 200
    helps: int = 10
    each: int = 500
    """Events for each of ten connections."""
    hot: int = 2_000
    synced: int = 1_000_000
    """Rows of a table that a sync compares with its snapshot."""
    contacts: int = 10_000
    """Rows of a table that goes to HubSpot while things go wrong, beside drt."""
    outbox: int = 100_000
    """Rows of the warehouse's table."""
    bloat: int = 2_000_000
    """Rows that go through an outbox, one table of them after the other."""
    asked: int = 100_000
    """Requests for a refresh."""
    quiet: float = 1.0
    refreshed: int = 100_000
    fetched: int = 1_000_000
    at_quota: float = 40.0
    """Seconds that a vendor's quota takes for the events of each connector."""
    connections: int = 100
    settling: float = 15.0
    """Seconds after which a process with nothing to do has come to rest."""
    stood_by: float = 10.0
    trickle: float = 6.0
    """Seconds of a steady trickle."""
    paced: float = 6.0
    """Seconds of steady load in which latencies are taken."""


FULL = Sizes()
BIG = Sizes(backlogs=(10_000, 1_000_000))
TINY = Sizes(
    rounds=1,
    pairs=1,
    single=300,
    rows=200,
    connections=3,
    settling=2.0,
    stood_by=0.5,
    trickle=0.5,
    keys=30,
    batch=1_000,
    backlogs=(200, 400),
    emitted=300,
    idle=10,
    helps=1,
    each=20,
    hot=40,
    synced=2_000,
    outbox=300,
    bloat=900,
    asked=10_000,
    quiet=0.2,
    refreshed=200,
    fetched=3_000,
    at_quota=2.0,
    paced=1.0,
)
