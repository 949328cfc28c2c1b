"""How many API calls a plan costs, and how long they take at the connection's quota."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from worker.syncs.plan.target import Target


@dataclass(frozen=True, slots=True)
class Estimate:
    """``seconds``: at the quota; None when the connection has none. ``days``: of the daily quota that it takes."""

    calls: int
    seconds: float | None
    days: int | None


def estimate(target: Target, kinds: Mapping[str, int]) -> Estimate:
    """At full batches; retries and what others send on the connection come on top."""
    calls = sum(-(-kinds.get(kind, 0) // one.batch_max) for kind, one in target.functions.items())
    limits = target.connector.limits
    daily = target.connection.limits.get("daily", limits.daily)
    return Estimate(
        calls=calls,
        seconds=calls * limits.per_seconds / limits.rate if limits.rate else None,
        days=-(-calls // daily) if daily else None,
    )
