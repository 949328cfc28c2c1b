"""The guards: a run that would change more than its author expects stops before it has sent anything."""

from __future__ import annotations

from collections.abc import Iterator

from worker.syncs.definition.model import Sync
from worker.syncs.plan.maker import Counts


def trips(sync: Sync, counts: Counts, rows: int) -> Iterator[str]:
    """The reasons to stop until somebody confirms (``--yes``).

    ``rows``: how many the snapshot has. A first run, with an empty snapshot, is never stopped.
    """
    if not rows or sync.mode == "full":
        return
    kinds = counts.kinds
    changes = kinds["added"] + kinds["changed"] + (kinds["removed"] if sync.mode == "mirror" else 0)
    if sync.max_changes and sync.max_changes.exceeded(changes, rows):
        yield f"{changes:,} of {rows:,} rows would be sent (max_changes: {sync.max_changes})"
    removed = kinds["removed"]
    if sync.mode == "mirror" and sync.max_removed and sync.max_removed.exceeded(removed, rows):
        yield f"{removed:,} of {rows:,} records would be removed (max_removed: {sync.max_removed})"
    elif sync.mode == "mirror" and sync.max_removed and removed and not counts.read:
        yield f"the query has no rows, and all {removed:,} records would be removed"
    for field, count in sorted(counts.nulls.items()):
        if sync.max_nulls and sync.max_nulls.exceeded(count, rows):
            yield f"{field} would become empty in {count:,} of {rows:,} rows (max_nulls: {sync.max_nulls})"
