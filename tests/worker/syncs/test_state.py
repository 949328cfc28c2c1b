"""What syncs and alerts keep in the store, on both kinds of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from topics.store import open_store
from worker.alerts.decide import Told
from worker.alerts.state import AlertStates, Thread
from worker.syncs.state.runs import Runs
from worker.syncs.state.syncs import Fenced, Syncs


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    postgres = request.param == "postgresql"
    opened = open_store(request.getfixturevalue("postgres_url") if postgres else f"sqlite:///{tmp_path}/store.db")
    yield opened
    opened.dispose()


def test_the_later_lease_counts(store: Engine) -> None:
    """It may claim again; an older one may neither claim nor begin, and a run that was cut off is found and left."""
    syncs, runs = Syncs(store), Runs(store)
    for epoch in (1, 1, 3):
        syncs.claim("a", epoch)
    cut_off = runs.begin("a", "crm", "diff", run="x", epoch=3, asked_by="t", now=2.0)
    for turn in ("y", "z"):
        runs.not_begun("a", "crm", "diff", run=turn, asked_by="t", error="away", now=3.0)
    with pytest.raises(Fenced):
        syncs.claim("a", 2)
    with pytest.raises(Fenced):
        runs.begin("a", "crm", "diff", run="w", epoch=2, asked_by="t", now=4.0)

    assert runs.unfinished("a") == [cut_off]
    runs.leave(cut_off, 3, now=5.0)
    assert runs.unfinished("a") == []
    assert [(run.id, run.state, run.attempt) for run in runs.list("a")] == [("y", "failed", 2), ("x", "lost", 1)]


def test_what_follows_a_message_is_kept_with_it(store: Engine) -> None:
    """Until it is over."""
    states = AlertStates(store)
    thread = Thread("i", "a", "slack", "message", "message", "QA", ["1", "2"], {"results[0]": 7}, 1.0)
    states.tell("a", Told("", 1.0, 1.0, 1, "reason"), [thread])

    assert states.threads() == [thread]
    states.thread_over("i")
    assert states.threads() == []
