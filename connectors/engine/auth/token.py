"""The credentials of requests: fixed ones, or a token that is fetched and renewed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from connectors.connections.tokens import AccessToken, ConnectionTokens
from connectors.engine.auth.endpoint import FETCH_SECONDS, TokenEndpoint
from connectors.engine.auth.shared_fetch import SharedFetch
from connectors.engine.manifest.auth import OAuth2
from connectors.engine.transport.redact import Redactor


class Credentials:
    """Fixed credentials: the same headers and parameters on every request."""

    def __init__(self, headers: Mapping[str, str] | None = None, params: Mapping[str, str] | None = None) -> None:
        self._headers = dict(headers or {})
        self.params = dict(params or {})

    async def headers(self) -> Mapping[str, str]:
        """The headers to send. Raises ``NoToken`` when a token is needed, and there is none."""
        return self._headers

    def refused(self, used: Mapping[str, str]) -> bool:
        """Called when the vendor has answered 401. True when ``headers`` may give better ones now."""
        return used is not self._headers

    async def close(self) -> None:
        """Called before the sockets are closed; may be called twice."""


class TokenCredentials(Credentials):
    """A token, fetched once for all calls that wait for it, and, where ``tokens`` shares it, once for all workers.

    A fetch that has begun goes on even when those who wait for it are cancelled: the vendor may have replaced the
    refresh token, so its answer must be kept.
    """

    def __init__(
        self,
        endpoint: TokenEndpoint,
        values: Mapping[str, Any],
        redact: Redactor,
        tokens: ConnectionTokens | None = None,
    ) -> None:
        super().__init__()
        auth = endpoint.auth
        self._rotates = auth.refresh_token if isinstance(auth, OAuth2) and auth.grant == "refresh_token" else None
        self._endpoint = endpoint
        self._values = dict(values)
        self._redact = redact
        self._shared = None if tokens is None else SharedFetch(endpoint, self._values, tokens, self._rotates)
        self._token = self._refused = ""
        self._ends = 0.0
        self._renewing: asyncio.Task[None] | None = None

    async def headers(self) -> Mapping[str, str]:
        if asyncio.get_running_loop().time() >= self._ends:
            if self._renewing is None or self._renewing.done():
                self._renewing = asyncio.create_task(self._renew())
                self._renewing.add_done_callback(_looked_at)
            await asyncio.shield(self._renewing)
        return self._headers

    def refused(self, used: Mapping[str, str]) -> bool:
        if used is self._headers:  # it was not renewed meanwhile
            self._ends, self._refused = 0.0, self._token
        return True

    async def close(self) -> None:
        if self._shared is not None:
            self._shared.stop()
        if self._renewing is not None and not self._renewing.done():
            await asyncio.wait([self._renewing], timeout=FETCH_SECONDS)
        if self._shared is not None:
            await self._shared.close()

    async def _renew(self) -> None:
        token = await (self._alone() if self._shared is None else self._shared.token(self._refused))
        self._redact.learn(token.value)
        self._token = token.value
        self._headers = {"Authorization": f"Bearer {token.value}"}
        self._ends = asyncio.get_running_loop().time() + token.seconds

    async def _alone(self) -> AccessToken:
        granted = await self._endpoint.fetch(self._values)
        if self._rotates is not None and granted.refresh_token is not None:
            self._values[self._rotates] = granted.refresh_token
        return AccessToken(granted.token, granted.seconds)


def _looked_at(task: asyncio.Task[None]) -> None:
    """Retrieve the error, so that asyncio does not complain when nobody waits for the task any more."""
    if not task.cancelled():
        task.exception()
