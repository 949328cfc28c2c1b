"""Prints runs, for people and as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from topics.cli.console import print_json, print_table, when

if TYPE_CHECKING:
    from worker.syncs.state.runs import Run

_RUN_COLUMNS = (
    "started", "sync", "state", "attempt", "asked_by", "read", "unchanged", "sent", "delivered", "dead", "pending",
    "refused", "seconds", "error",
)  # fmt: skip


def print_runs(found: list[Run], *, as_json: bool) -> None:
    if as_json:
        print_json([told(one) for one in found])
        return
    rows = [told(one) | {"started": when(one.started)} for one in found]
    heads = [name.replace("_", " ") for name in _RUN_COLUMNS]
    print_table(heads, [[row[name] for name in _RUN_COLUMNS] for row in rows], empty="No runs yet.")


def told(run: Run) -> dict[str, Any]:
    """A run as JSON, without the fields that only its continuation needs."""
    said = {name: value for name, value in asdict(run).items() if name not in {"open", "ends", "after"}}
    return said | {"seconds": None if run.ended is None else round(run.ended - run.started, 1)}
