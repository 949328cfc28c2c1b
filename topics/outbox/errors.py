"""The errors of triggers and their warehouse."""

from __future__ import annotations

from topics.errors import WritebackError


class BadTrigger(WritebackError):
    """The trigger cannot be made, or there is none of that name. The message says why, and which there are."""


class WarehouseUnavailable(WritebackError):
    """The warehouse cannot be reached, or is locked, full or read-only, now."""
