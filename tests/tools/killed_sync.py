"""A run of a sync in a process of its own, which kills itself (kill -9) at a step that is named."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

from tests.tools.forked import SERVER
from topics.settings import Settings
from topics.store import open_store
from worker.clock import SystemClock
from worker.refresher import leases
from worker.syncs.definition.model import Sync
from worker.syncs.plan import maker
from worker.syncs.run import lease, sending
from worker.syncs.run.run import Asked, Runner
from worker.syncs.run.sending import Sender
from worker.syncs.snapshot import blocks
from worker.syncs.source import warehouse

STEPS = ("before the intent", "after the intent", "between two sends", "before the commit", "after the commit", "end")
PATIENCE_S = 30.0


def run_until(settings: Settings, sync: Sync, step: str | None, nth: int) -> int:
    """The exit code: -9 when it came to that step for the n-th time, 0 when it ran through."""
    process = SERVER.Process(target=_run, args=(settings, sync, step, nth))
    process.start()
    process.join(60)
    code = process.exitcode
    process.kill()
    process.join()
    assert code is not None, f"{step}: neither killed nor through"
    return code


def _run(settings: Settings, sync: Sync, step: str | None, nth: int) -> None:
    # who had the lease before is dead: nothing is gained by waiting until that is certain
    leases.TAKEOVER_SECONDS, lease.LOOK_S = 0.0, 0.01
    blocks.BLOCK = 4
    maker.BLOCK = 4  # type: ignore[attr-defined]
    maker.PIECE, warehouse.CHUNK, sending.BATCH_EVENTS, sending.BATCH_LINES = 6, 3, 5, 3
    sending.REWRITE = 0
    _die(step, nth)
    runner = Runner(settings, open_store(settings.store), settings.open_log(), SystemClock())
    runner.run(sync, Asked("a test", patience=PATIENCE_S))


def _die(step: str | None, nth: int) -> None:
    """``step`` ends the process when it is reached for the n-th time."""
    left = nth

    def reached(name: str) -> None:
        nonlocal left
        if name == step:
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)

    def around(whose: type[Any], name: str, before: str, after: str) -> None:
        real: Callable[..., Any] = getattr(whose, name)

        def wrapped(one: Any, *given: Any) -> Any:
            counts = name not in {"_intend", "_settle"} or given[1]  # a batch that has events
            reached(before if counts else "")
            result = real(one, *given)
            reached(after if counts else "")
            return result

        setattr(whose, name, wrapped)

    around(Sender, "_intend", "before the intent", "after the intent")
    around(lease.HeldLease, "keep", "between two sends", "")
    around(Sender, "_settle", "before the commit", "after the commit")
    around(Sender, "finish", "end", "")
