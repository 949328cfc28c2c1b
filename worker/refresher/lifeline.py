"""Ends a run whose refresher is gone: killed, stopped, or cut off from the store, which has the leases.

Runs in the run's own process. The refresher keeps its standard input open and writes an empty line every second. When
the pipe is closed, or silent for too long, another refresher may start the same run at any moment.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import threading

STDIN = 0
ROOM = 4_096


def hold_on(silence: float) -> None:
    """From now on, end this process and its whole group ``silence`` seconds after the last line on stdin."""
    threading.Thread(target=_watch, args=(silence,), name="lifeline", daemon=True).start()


def _watch(silence: float) -> None:
    while True:
        heard, _, _ = select.select([STDIN], [], [], silence)
        if not heard or not os.read(STDIN, ROOM):
            _end()


def _end() -> None:
    with contextlib.suppress(OSError, ValueError):
        print("the refresher is gone; this run ends, and is run again", file=sys.stderr, flush=True)  # noqa: T201
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)  # with everything it has started
    os._exit(1)
