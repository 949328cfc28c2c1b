"""How many API calls a plan costs, and how long they take at the connection's quota."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from worker.syncs.plan.target import Target


@dataclass(frozen=True, slots=True)
class Estimate:
    """The cost of a plan. ``seconds``: at the connection's rate limit, None when it has none.

    ``days``: how many days' worth of the daily quota it uses.
    """

    calls: int
    seconds: float | None
    days: int | None


def estimate(target: Target, kinds: Mapping[str, int]) -> Estimate:
    """Assumes full batches. Retries, and calls that others make on the connection, come on top."""
    calls = sum(-(-kinds.get(kind, 0) // one.batch_max) for kind, one in target.functions.items())
    limits = target.connector.limits
    daily = target.connection.limits.get("daily", limits.daily)
    return Estimate(
        calls=calls,
        seconds=calls * limits.per_seconds / limits.rate if limits.rate else None,
        days=-(-calls // daily) if daily else None,
    )
