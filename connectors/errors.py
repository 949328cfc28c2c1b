"""The branch of the error tree of the room ``connectors`` (root: ``topics/errors.py``).

WritebackError
└── ConnectorError
├── UnknownConnection      no connection of that name; the message lists the names
├── UnknownFunction        the connector has no such object or operation; the message lists what there is
├── BadManifest            the manifest does not load; this connection is held
├── BadSecret              a secret does not decrypt, or its variable is not set; this connection is held
├── BadConnection          settings that the connector does not accept
├── CallFailed             a read or a raw call that the vendor refused: carries its status and words
└── Unreachable            the vendor cannot be asked now; worth trying again
"""

from __future__ import annotations

from topics.errors import WritebackError


class ConnectorError(WritebackError):
    """Something about a connection or its connector."""


class UnknownConnection(ConnectorError):
    """No connection of that name."""


class UnknownFunction(ConnectorError):
    """The connector has no such object or operation."""


class BadManifest(ConnectorError):
    """The manifest does not load."""


class BadSecret(ConnectorError):
    """A secret does not decrypt, or its variable is not set."""


class BadConnection(ConnectorError):
    """Settings that the connector does not accept."""


class CallFailed(ConnectorError):
    """The vendor refused a read or a raw call."""

    def __init__(self, message: str, *, status: int | None = None, excerpt: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.excerpt = excerpt


class Unreachable(ConnectorError):
    """The vendor cannot be asked now."""
