"""As many open files as the system lets a process have.

Every call under way is a socket, and some are kept open: 500 connections at work were seen to have 2,000. Many systems
begin with 1,024; the call beyond that fails as if the vendor were down. What a process may raise its limit to is the
administrator's word; up to there it is only a default (Go's runtime and nginx raise it, too).
"""

from __future__ import annotations

import resource

AT_MOST = 65_536


def raise_limit() -> int:
    """How many there may be now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = AT_MOST if hard == resource.RLIM_INFINITY else min(hard, AT_MOST)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted
