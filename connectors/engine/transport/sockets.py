"""An aiohttp session, called directly and not through an httpx client.

httpx's own connection pool takes quadratic time in the number of connections, and its client costs as much again as
the request itself. The existing bridge between the two raises ``ConnectTimeout`` both for a refused port and for a
server that read the request and hung up, but our verdicts depend on that difference (``meaning.py``).
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Final

import aiohttp
from yarl import URL

from connectors.engine.transport.addresses import AddressGuard
from connectors.engine.transport.failures import Unsendable
from connectors.engine.transport.meaning import CAUGHT, failure
from connectors.engine.transport.reply import EXCERPT, MIB, Reply

CONNECT_SECONDS: Final = 10.0


class Sockets:
    """The sockets of one connection, in one event loop. See ``Transport``, which opens them."""

    def __init__(self, guard: AddressGuard) -> None:
        self._timeouts: dict[float, aiohttp.ClientTimeout] = {}
        self._session = aiohttp.ClientSession(
            # no limit: the worker decides how many calls there are at once
            connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=60, socket_factory=guard),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
        )
        # aiohttp repeats PUT, DELETE and GET by itself when a kept-alive connection breaks, and has no public
        # switch for it; tests/connectors/engine/transport/test_session.py counts the requests that arrive
        self._session._retry_connection = False  # noqa: SLF001

    async def exchange(
        self, method: str, url: str | URL, headers: Mapping[str, str], body: bytes | None, *, seconds: float, limit: int
    ) -> Reply:
        """See ``Transport.exchange``."""
        try:
            response = await self._session.request(
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

    async def close(self) -> None:
        await self._session.close()

    def _timeout(self, seconds: float) -> aiohttp.ClientTimeout:
        known = self._timeouts.get(seconds)
        if known is None:
            # connecting has a much shorter time limit, so a time-out of the whole call means that it was sent
            if len(self._timeouts) > 100:
                self._timeouts.clear()  # each event may have its own time-out
            known = aiohttp.ClientTimeout(total=seconds, connect=min(CONNECT_SECONDS, seconds / 2))
            self._timeouts[seconds] = known
        return known


async def _read(response: aiohttp.ClientResponse, limit: int) -> Reply:
    chunks: list[bytes] = []
    size = 0
    truncated = False
    if (response.content_length or 0) > limit:
        limit = EXCERPT  # Content-Length says that it is too large: only its beginning is kept
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
        response.close()  # the rest of the body is still coming: this connection cannot be reused
    else:
        response.release()
    body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
    return Reply(response.status, response.headers, body[:limit], truncated, response.raw_headers)
