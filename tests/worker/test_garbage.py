from __future__ import annotations

import gc

from worker.garbage import YOUNG, collect_rarely


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
