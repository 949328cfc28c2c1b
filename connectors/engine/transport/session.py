"""The way out: an aiohttp session, called directly and not through an httpx client.

httpx's own connection pool is quadratic in the number of connections, and the client's pipeline costs as much again as
the request. And the ready-made bridge says ``ConnectTimeout`` both for a refused port and for a server that read the
request and hung up: our verdicts stand on that difference (``failures.py``).

``exchange`` is the fast way, for deliveries; ``handle_async_request`` is the same for whoever has an ``httpx.Request``.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import aiohttp
from yarl import URL

from connectors.engine.transport.addresses import AddressGuard
from connectors.engine.transport.failures import CAUGHT, MaybeSent, NotSent, TransportFailure, Unsendable, failure

if TYPE_CHECKING:
    import httpx  # whoever has a request of its has loaded it

MIB: Final = 1_048_576
MAX_READ: Final = 8 * MIB
"""The most that is taken of an answer that somebody wants to read."""
EXCERPT: Final = 16_384
CONNECT_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back. ``truncated``: the body is not whole (too large, or the line broke after the status)."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""
    truncated: bool = False
    raw_headers: tuple[tuple[bytes, bytes], ...] = field(default=(), repr=False)
    parsed: list[Any] = field(default_factory=list, init=False, repr=False, compare=False)
    """The body as JSON, once somebody has read it."""


class Transport:
    """One connection's sockets. Opened by the first call, in the loop of that call; ``aclose`` may be called twice.

    Never follows a redirect, never repeats a request, keeps no cookies, reads no proxy from the environment.
    """

    def __init__(self, guard: AddressGuard | None = None) -> None:
        self._guard = guard or AddressGuard()
        self._session: aiohttp.ClientSession | None = None
        self._timeouts: dict[float, aiohttp.ClientTimeout] = {}

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

        Once the status is known it is the answer, whatever becomes of the body.
        """
        check_headers(headers)
        try:
            response = await self._open().request(
                method,
                url if isinstance(url, URL) else URL(url, encoded=True),
                headers=headers,
                # aiohttp sends a bytes body in one piece and warns above a MiB that this blocks the loop
                data=body if body is None or len(body) < MIB else io.BytesIO(body),
                allow_redirects=False,
                timeout=self._timeout(seconds),
            )
        except CAUGHT as error:
            raise failure(error) from error
        except ValueError as error:
            raise Unsendable(str(error)) from error
        return await _read(response, limit)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """As httpx wants it, its exceptions included. ``request.extensions["timeout"]["read"]`` is the whole call's."""
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
        if self._session is not None:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                # no limit: how many calls there may be at once is the worker's business
                connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=60, socket_factory=self._guard),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
            )
            # aiohttp repeats PUT, DELETE and GET by itself when a kept-alive connection breaks, and has no public
            # switch for it; tests/connectors/engine/transport/test_session.py counts the requests that arrive
            self._session._retry_connection = False  # noqa: SLF001
        return self._session

    def _timeout(self, seconds: float) -> aiohttp.ClientTimeout:
        known = self._timeouts.get(seconds)
        if known is None:
            # connecting ends well before the whole does, so that a time-out of the whole means: it was sent
            if len(self._timeouts) > 100:
                self._timeouts.clear()  # every event may bring a time-out of its own
            known = aiohttp.ClientTimeout(total=seconds, connect=min(CONNECT_SECONDS, seconds / 2))
            self._timeouts[seconds] = known
        return known


async def _read(response: aiohttp.ClientResponse, limit: int) -> Reply:
    chunks: list[bytes] = []
    size = 0
    truncated = False
    if (response.content_length or 0) > limit:
        limit = EXCERPT  # it says itself that it is too large: only its beginning is of use
    try:
        while not truncated and (chunk := await response.content.readany()):
            size += len(chunk)
            truncated = size > limit
            chunks.append(chunk)
    except CAUGHT:
        truncated = True
    except BaseException:
        response.close()
        raise
    if truncated:
        response.close()  # the rest of the body is on that connection: it cannot be used again
    else:
        response.release()
    body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
    return Reply(response.status, response.headers, body[:limit], truncated, response.raw_headers)


def check_headers(headers: Mapping[str, str]) -> None:
    """Raises ``Unsendable`` for a header that would end its line early and start another one."""
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
