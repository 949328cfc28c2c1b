from __future__ import annotations

import gc

from worker.process.gc import YOUNG, collect_rarely, keep


def test_collects_rarely_but_does_collect() -> None:
    """Cycles are still found, after many more objects than by default."""
    before = gc.get_threshold()
    try:
        collect_rarely()

        assert gc.isenabled()
        assert gc.get_threshold()[0] == YOUNG
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)


def test_what_is_kept_is_left_alone() -> None:
    """What was there before a fork is not looked at after it, and what comes later is."""
    there: list[object] = []
    try:
        keep()
        later: list[object] = []
        looked_at = [id(each) for each in gc.get_objects()]

        assert id(there) not in looked_at
        assert id(later) in looked_at
    finally:
        gc.unfreeze()
