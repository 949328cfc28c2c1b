"""The errors of alerts."""

from __future__ import annotations

from topics.errors import WritebackError


class AlertError(WritebackError):
    """Any error of alerts; the message says what to do."""


class BadAlert(AlertError):
    """The definition is wrong."""


class UnknownAlert(AlertError):
    """There is no alert of that name."""
