"""The failures of a request that got no answer, distinguished by one question: was it sent?

    TransportFailure
    ├── Unsendable     this request can never be sent as it is (a line break in a header, no such URL)
    ├── NotSent        refused, not resolved, not connected, certificate not trusted: the vendor got nothing
    └── MaybeSent      broken or silent after the connection was made: the vendor may have done it

A kept-alive connection that the server closed just before our request is a ``MaybeSent`` too: from here it looks the
same as one closed after it was read.
"""

from __future__ import annotations

from connectors.contract import RetryKind


class TransportFailure(Exception):
    """No answer. ``reason`` is for people; it may hold a secret until it is redacted."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Unsendable(TransportFailure):
    """This request can never be sent as it is."""


class NotSent(TransportFailure):
    """The vendor got nothing of it."""


class MaybeSent(TransportFailure):
    """The vendor may have done it."""

    def __init__(self, reason: str, kind: RetryKind) -> None:
        super().__init__(reason)
        self.kind: RetryKind = kind
