"""What can be wrong with a trigger, for people."""

from __future__ import annotations

from topics.errors import WritebackError


class BadTrigger(WritebackError):
    """It cannot be made, or there is none of that name. The message says why, and what there is."""


class WarehouseUnavailable(WritebackError):
    """The warehouse cannot be reached, or is locked, full or read-only, now."""
