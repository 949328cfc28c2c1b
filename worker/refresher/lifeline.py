"""Ends a run whose refresher is gone: killed, stopped, or cut off from the store that says whose turn it is.

In the run's process. The refresher keeps the run's standard input open and writes an empty line every second. A pipe
that ends, or says nothing for too long, means that another refresher may start the same run any moment.
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
    """From now on this process, and all of its group, end ``silence`` seconds after the last word on stdin."""
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
        os.killpg(os.getpid(), signal.SIGKILL)  # whatever it has started, too
    os._exit(1)
