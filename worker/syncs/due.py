"""When a sync is due: pure, told the time."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from worker.syncs.definition.bounds import seconds
from worker.syncs.definition.model import Sync, is_interval


def latest(sync: Sync, now: float, before: float | None) -> float | None:
    """The latest moment at or before ``now`` (seconds since the epoch) when the sync was due; None: not due yet.

    ``before``: the moment that it last ran for. Several missed moments count as one, the latest. A new sync with an
    interval is due at once, one with cron at its next moment.
    """
    if sync.schedule is None:
        return None
    if is_interval(sync.schedule):
        if before is None:
            return now
        missed = (now - before) // seconds(sync.schedule)
        return before + missed * seconds(sync.schedule) if missed >= 1 else None
    last = _cron(sync, now, forward=False)
    return last if before is not None and last > before else None


def following(sync: Sync, now: float, before: float | None) -> float | None:
    """When it is due next."""
    if sync.schedule is None:
        return None
    if is_interval(sync.schedule):
        return now if before is None else max(now, before + seconds(sync.schedule))
    return _cron(sync, now, forward=True)


def _cron(sync: Sync, now: float, *, forward: bool) -> float:
    from croniter import croniter  # noqa: PLC0415 - only for who has such a schedule

    start = datetime.fromtimestamp(now, UTC).astimezone(ZoneInfo(sync.timezone))
    if forward:
        return float(croniter(sync.schedule, start).get_next(float))
    # for a time that is a moment of the schedule itself, croniter's get_prev gives the one before: hence a second more
    return float(croniter(sync.schedule, datetime.fromtimestamp(now + 1, start.tzinfo)).get_prev(float))
