"""An import lets the workers keep up, where there are any."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from pq.cli import import_csv as cli_import
from topics.cli import pace
from topics.log import Lag, Partition

TOPIC = "writeback.events.acme"


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli_import, "PACED_ROWS", 2)
    monkeypatch.setattr(pace, "IMPORT_LAG_LIMIT", 10)


def session(lags: Iterator[int]) -> Any:
    log = SimpleNamespace(lag=lambda _group, _prefix: {Partition(TOPIC, 0): Lag(0, next(lags))})
    return SimpleNamespace(log=log, group="g")


def test_it_waits_while_the_workers_catch_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """No row is left out, and none goes while the lag is at the limit and falls."""
    events: list[object] = []
    monkeypatch.setattr("time.sleep", lambda _: events.append("wait"))
    rows: Any = iter([1, 2, 3, 4, 5])

    paced = cli_import.paced(rows, session(iter([12, 11, 9, 0])), TOPIC)
    events.extend(paced)

    assert events == [1, 2, "wait", "wait", 3, 4, 5]


def test_it_does_not_wait_for_a_worker_that_is_not_there(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A lag that stands still for some seconds is told once, and the rest goes at once."""
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    monkeypatch.setattr("time.sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    rows: Any = iter(range(10))
    paced: list[Any] = list(cli_import.paced(rows, session(iter([50] * 100)), TOPIC))

    assert paced == list(range(10))
    assert capsys.readouterr().err.count("Going on without waiting") == 1
    assert now[0] == pace.IMPORT_PATIENCE_S
