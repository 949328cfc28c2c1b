"""The errors of syncs that a person can do something about.

WritebackError
├── SyncError               a sync did not do what it was asked
│   ├── BadSync             its definition is wrong: the message names the file and the field
│   ├── UnknownSync         there is no such sync: the message names the nearest
│   ├── SourceFailed        the warehouse refused the query, or gave rows that cannot be used
│   ├── GuardStopped        it would change more than its guards allow
│   ├── PlanOutdated        the sync's state has changed since the plan was made
│   └── SyncBusy            another process runs it now
"""

from __future__ import annotations

from topics.errors import WritebackError


class SyncError(WritebackError):
    """A sync did not do what it was asked."""


class BadSync(SyncError):
    """The definition is wrong."""


class UnknownSync(SyncError):
    """There is no sync of that name."""


class SourceFailed(SyncError):
    """The warehouse refused the query, does not answer, or gave rows that cannot be used."""


class GuardStopped(SyncError):
    """It would change more than its guards allow; nothing was sent."""


class PlanOutdated(SyncError):
    """The sync's state has changed since the plan was made; nothing was sent."""


class SyncBusy(SyncError):
    """Another process runs it now."""
