from __future__ import annotations

import pytest

from topics.event.refresh import OwnWrites
from topics.log import Commit
from worker.engine.progress.metadata import Memory, encode
from worker.refresher.own_writes import joined, undone


def commit(watermark: int, *done: tuple[int, int]) -> Commit:
    return Commit(watermark, encode(watermark, Memory(done=done)))


@pytest.mark.parametrize(
    ("committed", "left"),
    [
        (None, 6),
        (commit(0), 6),
        (commit(10), 6),
        (commit(13), 3),
        (commit(16), 0),
        (commit(99), 0),
        (commit(5, (10, 16)), 0),
        (commit(5, (6, 12), (14, 15)), 3),
        (commit(12, (13, 14), (15, 30)), 2),
        (Commit(12, "9 of a later version"), 4),
    ],
)
def test_undone(committed: Commit | None, left: int) -> None:
    """Of the offsets 10 to 15: what is neither below the watermark nor among what is done beyond it."""
    assert undone(committed, OwnWrites(first=10, last=15)) == left


def test_joined() -> None:
    """Of several requests, from the first write of any to the last of any, by partition."""
    writes = [{0: OwnWrites(first=3, last=4)}, {0: OwnWrites(first=9, last=9), 1: OwnWrites(first=0, last=0)}, {}]
    assert joined(writes) == {0: OwnWrites(first=3, last=9), 1: OwnWrites(first=0, last=0)}
