"""What is put on a request so that the vendor lets it in: fixed headers, or a token that is fetched and renewed."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from pydantic_core import from_json

from connectors.contract import Down, Evidence, Throttled
from connectors.engine.manifest.auth import ApiKey, Basic, Bearer, OAuth2
from connectors.engine.manifest.configuration import Configuration
from connectors.engine.template.template import Scope, compile_text
from connectors.engine.transport.redact import Redactor
from connectors.engine.transport.session import Transport
from connectors.engine.transport.waits import retry_after

if TYPE_CHECKING:
    import httpx

TOKEN_SECONDS: Final = 30.0
"""Longest wait for a token endpoint."""
EARLY: Final = 60.0
"""A token is renewed this long before it ends, so that none ends on the way."""

SaveSecret = Callable[[str, str], None]


class NoToken(Exception):
    """The token endpoint gave no token."""

    def __init__(self, verdict: Down | Throttled) -> None:
        super().__init__(verdict.reason)
        self.verdict = verdict


class Credentials:
    """Fixed ones: the same headers and parameters on every request."""

    def __init__(self, headers: Mapping[str, str] | None = None, params: Mapping[str, str] | None = None) -> None:
        self._headers = dict(headers or {})
        self.params = dict(params or {})

    async def headers(self) -> Mapping[str, str]:
        return self._headers

    def refused(self, used: Mapping[str, str]) -> bool:
        """The vendor answered 401 to these headers. True: asking again for headers may give better ones."""
        return used is not self._headers


class TokenCredentials(Credentials):
    """OAuth 2: one token at a time, fetched once however many calls wait for it. Raises ``NoToken``."""

    def __init__(
        self,
        auth: OAuth2,
        values: Mapping[str, Any],
        transport: Transport,
        redact: Redactor,
        *,
        now: Callable[[], float],
        save_secret: SaveSecret | None = None,
    ) -> None:
        super().__init__()
        self._auth = auth
        self._values = dict(values)
        self._transport = transport
        self._redact = redact
        self._now = now
        self._save_secret = save_secret
        self._lock = asyncio.Lock()
        self._ends = 0.0
        self._url = _text(auth.token_url, values)

    async def headers(self) -> Mapping[str, str]:
        if not self._fresh():
            async with self._lock:
                if not self._fresh():
                    await self._fetch()
        return self._headers

    def refused(self, used: Mapping[str, str]) -> bool:
        if used is self._headers:  # nobody has renewed it meanwhile
            self._ends = 0.0
        return True

    def _fresh(self) -> bool:
        return asyncio.get_running_loop().time() < self._ends

    async def _fetch(self) -> None:
        import httpx  # noqa: PLC0415 - only tokens that are fetched need it

        request = httpx.Request("POST", self._url, data=self._form(), headers=self._client_header())
        request.extensions["timeout"] = {"read": TOKEN_SECONDS}
        try:
            response = await self._transport.handle_async_request(request)
        except httpx.TransportError as error:
            raise NoToken(Down(self._redact(f"the token endpoint {self._url} did not answer: {error}"))) from error
        self._take(response)

    def _take(self, response: httpx.Response) -> None:
        evidence = Evidence(response.status_code, self._redact(response.text))
        body = _object(response.content)
        token = body.get("access_token")
        if response.status_code == 429:
            wait = retry_after(response.headers, self._now())
            raise NoToken(Throttled(wait or 10.0, f"the token endpoint {self._url} is throttled", evidence))
        if not response.is_success or not isinstance(token, str) or not token:
            words = self._redact(str(body.get("error_description") or body.get("error") or ""))
            reason = f"the token endpoint {self._url} answered HTTP {response.status_code} {words}".rstrip()
            raise NoToken(Down(reason, retry_after(response.headers, self._now()), evidence))
        self._redact.learn(token)
        self._headers = {"Authorization": f"Bearer {token}"}
        self._ends = asyncio.get_running_loop().time() + _lifetime(body.get("expires_in"))
        renewed = body.get("refresh_token")
        if self._auth.grant == "refresh_token" and isinstance(renewed, str) and renewed:
            self._rotate(renewed)

    def _rotate(self, refresh_token: str) -> None:
        """Some vendors end a refresh token with its use: the new one must outlive this process."""
        name = self._auth.refresh_token
        if refresh_token != self._values[name]:
            self._redact.learn(refresh_token)
            self._values[name] = refresh_token
            if self._save_secret is not None:
                self._save_secret(name, refresh_token)

    def _form(self) -> dict[str, str]:
        auth = self._auth
        form: dict[str, str] = {"grant_type": auth.grant}
        if auth.grant == "refresh_token":
            form["refresh_token"] = str(self._values[auth.refresh_token])
        if auth.client_auth == "body":
            form["client_id"] = str(self._values[auth.client_id])
            form["client_secret"] = str(self._values[auth.client_secret])
        scope = _text(auth.scope, self._values)
        return {**form, "scope": scope} if scope else form

    def _client_header(self) -> dict[str, str]:
        if self._auth.client_auth == "body":
            return {"Accept": "application/json"}
        pair = (quote(str(self._values[name]), safe="") for name in (self._auth.client_id, self._auth.client_secret))
        return {"Accept": "application/json", **_basic(*pair)}


def credentials(
    configuration: Configuration,
    transport: Transport,
    redact: Redactor,
    *,
    now: Callable[[], float],
    save_secret: SaveSecret | None = None,
) -> Credentials:
    """The credentials of a connection, by the way in that its configuration chose."""
    values = configuration.values
    match configuration.auth:
        case Bearer() as auth:
            return Credentials({"Authorization": f"Bearer {values[auth.token]}"})
        case Basic() as auth:
            return Credentials(_basic(str(values[auth.username]), str(values[auth.password])))
        case ApiKey(place="query") as auth:
            return Credentials(params={_text(auth.name, values): str(values[auth.key])})
        case ApiKey() as auth:
            return Credentials({_text(auth.name, values): str(values[auth.key])})
        case OAuth2() as auth:
            return TokenCredentials(auth, values, transport, redact, now=now, save_secret=save_secret)
        case _:
            return Credentials()


def _basic(username: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + b64encode(f"{username}:{password}".encode()).decode()}


def _text(template: str, values: Mapping[str, Any]) -> str:
    text = compile_text(template, {"settings": values, "object": {}}, in_path=False)
    return text if isinstance(text, str) else text(Scope({}))


def _lifetime(expires_in: Any) -> float:
    try:
        seconds = float(expires_in)
    except (TypeError, ValueError):
        return 1_800.0  # not said: a 401 renews it anyway
    return max(seconds - min(EARLY, seconds / 10), 1.0)


def _object(content: bytes) -> dict[str, Any]:
    try:
        body = from_json(content)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
