"""glibc's allocator, told what a worker is like: many threads, of which one runs at a time.

By default each thread that allocates gets an arena of its own, so that threads do not wait for one another, and each
keeps what was freed in it. Python's threads wait for one another anyway.
"""

from __future__ import annotations

import ctypes

M_ARENA_MAX = -8
"""From <malloc.h>; see mallopt(3)."""


def share_one_arena() -> None:
    """Before the first thread starts. Does nothing where the C library is another one."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_ARENA_MAX, 1)
