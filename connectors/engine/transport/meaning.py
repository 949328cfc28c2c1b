"""What each exception of the HTTP library means: never sent, or maybe."""

from __future__ import annotations

from typing import Final

import aiohttp
from aiohttp import client_exceptions as aio

from connectors.contract import RetryKind
from connectors.engine.transport.failures import MaybeSent, NotSent, TransportFailure, Unsendable

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
