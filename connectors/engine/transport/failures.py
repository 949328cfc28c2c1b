"""What can go wrong between us and a vendor before an answer is there, told apart by one question: was it sent?

    TransportFailure
    ├── Unsendable     this request can never be sent as it is (a line break in a header, no such URL)
    ├── NotSent        refused, not resolved, not connected, certificate not trusted: the vendor saw nothing
    └── MaybeSent      broken or silent after the connection stood: the vendor may have done it

A kept-alive connection that the server closed just before our request is a ``MaybeSent`` too: from here it looks the
same as one closed after it was read.
"""

from __future__ import annotations

from typing import Final

import aiohttp
from aiohttp import client_exceptions as aio

from connectors.contract import RetryKind


class TransportFailure(Exception):
    """No answer. ``reason`` is for people; it may hold a secret until it is redacted."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Unsendable(TransportFailure):
    """This request can never be sent as it is."""


class NotSent(TransportFailure):
    """The vendor saw nothing of it."""


class MaybeSent(TransportFailure):
    """The vendor may have done it."""

    def __init__(self, reason: str, kind: RetryKind) -> None:
        super().__init__(reason)
        self.kind: RetryKind = kind


_NEVER: Final = "not sent"
_IMPOSSIBLE: Final = "unsendable"

MEANING: Final[dict[type[BaseException], RetryKind | str]] = {
    # before there is a connection
    aio.ClientConnectorError: _NEVER,
    aio.ClientConnectorDNSError: _NEVER,
    aio.ClientProxyConnectionError: _NEVER,
    aio.UnixClientConnectorError: _NEVER,
    aio.ClientSSLError: _NEVER,
    aio.ClientConnectorSSLError: _NEVER,
    aio.ClientConnectorCertificateError: _NEVER,
    aio.ServerFingerprintMismatch: _NEVER,
    aio.ClientHttpProxyError: _NEVER,
    aio.ConnectionTimeoutError: _NEVER,
    # the request itself
    aio.InvalidURL: _IMPOSSIBLE,
    aio.InvalidUrlClientError: _IMPOSSIBLE,
    aio.NonHttpUrlClientError: _IMPOSSIBLE,
    # on a standing connection: broken
    aio.ClientError: "connection",
    aio.ClientConnectionError: "connection",
    aio.ClientConnectionResetError: "connection",
    aio.ClientOSError: "connection",
    aio.ServerConnectionError: "connection",
    aio.ServerDisconnectedError: "connection",
    aio.ClientPayloadError: "connection",
    aio.ClientResponseError: "connection",  # an answer that is not HTTP
    aio.ContentTypeError: "connection",
    aio.WSServerHandshakeError: "connection",
    OSError: "connection",
    # on a standing connection: silent
    aio.ServerTimeoutError: "no_answer",
    aio.SocketTimeoutError: "no_answer",
    TimeoutError: "no_answer",
    # redirects are off: these cannot come, and if they did, something was sent
    aio.TooManyRedirects: "connection",
    aio.RedirectClientError: "connection",
    aio.InvalidUrlRedirectClientError: "connection",
    aio.NonHttpUrlRedirectClientError: "connection",
}
if (_upload_aborted := getattr(aio, "UploadAbortedError", None)) is not None:  # aiohttp 3.14
    MEANING[_upload_aborted] = "connection"

CAUGHT: Final = (aiohttp.ClientError, TimeoutError, OSError)


def _words(error: BaseException) -> str:
    if isinstance(error, aio.ClientConnectorError):
        return f"cannot connect to {error.host}:{error.port}: {error.os_error or error}"
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def failure(error: BaseException) -> TransportFailure:
    """Our name for an exception of the HTTP library; an unknown one counts as maybe sent."""
    meaning = next((MEANING[kind] for kind in type(error).__mro__ if kind in MEANING), "connection")
    reason = _words(error)
    if meaning == _NEVER:
        return NotSent(reason)
    if meaning == _IMPOSSIBLE:
        return Unsendable(reason)
    return MaybeSent(reason, "no_answer" if meaning == "no_answer" else "connection")
