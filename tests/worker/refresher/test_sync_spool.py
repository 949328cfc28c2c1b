"""What an interrupted read has kept, and when it is of no use any more."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from worker.refresher.sync.spool import ROWS, STALE_S, Spool

NOON = 1_780_000_000.0


@pytest.mark.parametrize(
    ("asked", "later", "goes_on"),
    [
        ("all", 10.0, True),
        ("changed", 10.0, False),
        ("all", STALE_S + 1, False),
        ("all", -1.0, False),
        ("all", 40 * 365 * 86_400.0, False),
    ],
)
def test_a_read_that_broke_off(asked: str, later: float, goes_on: bool, tmp_path: Path) -> None:
    """The same question goes on within the hour; another, a late one, or one after the clock has jumped begins anew."""
    spool = Spool(tmp_path / "contact")
    place = spool.resume("all", NOON)
    spool.add(ROWS, [{"id": "1"}])
    kept = spool.keep(replace(place, bookmark="after-1", rows=1), NOON)

    again = Spool(tmp_path / "contact").resume(asked, NOON + later)

    assert (again == kept) is goes_on
    assert list(spool.rows(ROWS)) == ([{"id": "1"}] if goes_on else [])
