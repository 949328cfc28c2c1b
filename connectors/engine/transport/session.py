"""Sends the requests of a connection, one by one.

``exchange`` is the fast way, for deliveries; ``handle_async_request`` does the same with an ``httpx.Request``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from connectors.engine.transport.addresses import AddressGuard
from connectors.engine.transport.failures import MaybeSent, NotSent, TransportFailure, Unsendable
from connectors.engine.transport.reply import MAX_READ, Reply

if TYPE_CHECKING:
    import httpx  # a caller with an ``httpx.Request`` has imported it already
    from yarl import URL

    from connectors.engine.transport.sockets import Sockets


class Transport:
    """One connection's sockets. Opened by the first call, in the loop of that call; ``aclose`` may be called twice.

    Never follows a redirect, never repeats a request, keeps no cookies, reads no proxy from the environment.
    """

    def __init__(self, guard: AddressGuard | None = None) -> None:
        self._guard = guard or AddressGuard()
        self._sockets: Sockets | None = None

    async def exchange(
        self,
        method: str,
        url: str | URL,
        headers: Mapping[str, str],
        body: bytes | None,
        *,
        seconds: float,
        limit: int = MAX_READ,
    ) -> Reply:
        """Send one request and read at most ``limit`` bytes of the answer. Raises ``TransportFailure``.

        Once the status is known, it is an answer, even if the body breaks off.
        """
        check_headers(headers)
        if self._sockets is None:
            self._sockets = _opened(self._guard)
        return await self._sockets.exchange(method, url, headers, body, seconds=seconds, limit=limit)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Like httpx's transports, with their exceptions.

        ``request.extensions["timeout"]["read"]`` limits the whole call.
        """
        import httpx  # noqa: PLC0415

        seconds = request.extensions.get("timeout", {}).get("read") or 120.0
        headers = {name: value for name, value in request.headers.items() if name not in {"content-length", "host"}}
        try:
            reply = await self.exchange(
                request.method, str(request.url), headers, await request.aread() or None, seconds=seconds
            )
        except TransportFailure as error:
            raise _as_httpx(error, request) from error
        decoded = {b"content-encoding", b"content-length", b"transfer-encoding"}
        return httpx.Response(
            reply.status,
            headers=[(name, value) for name, value in reply.raw_headers if name.lower() not in decoded],
            content=reply.body,
            request=request,
            extensions={"truncated": reply.truncated},
        )

    async def aclose(self) -> None:
        if self._sockets is not None:
            await self._sockets.close()


def _opened(guard: AddressGuard) -> Sockets:
    """Imported late: the HTTP library takes 0.14 s to load, and a script that only writes to the log needs none."""
    from connectors.engine.transport.sockets import Sockets  # noqa: PLC0415

    return Sockets(guard)


def check_headers(headers: Mapping[str, str]) -> None:
    """Raises ``Unsendable`` for a header with a line break, which could start another header."""
    for name, value in headers.items():
        if (
            not name.isascii()
            or not value.isascii()
            or not value.isprintable()
            or not name.replace("-", "").replace("_", "").isalnum()
        ):
            raise Unsendable(
                f"the header {name!r} holds characters that a header cannot carry (line breaks, non-ASCII)"
            )


def _as_httpx(error: TransportFailure, request: httpx.Request) -> httpx.TransportError:
    import httpx  # noqa: PLC0415

    match error:
        case NotSent():
            return httpx.ConnectError(error.reason, request=request)
        case MaybeSent(kind="no_answer"):
            return httpx.ReadTimeout(error.reason, request=request)
        case Unsendable():
            return httpx.LocalProtocolError(error.reason, request=request)
        case _:
            return httpx.ReadError(error.reason, request=request)
