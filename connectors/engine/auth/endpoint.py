"""A vendor's token endpoint: the requests to it, and the meaning of its answers."""

from __future__ import annotations

import shlex
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import quote, urlencode

from pydantic_core import from_json

from connectors.contract import Down, Evidence, Throttled
from connectors.engine.auth.assertion import ACCOUNT_SECONDS, APP_SECONDS, JWT_BEARER, BadKey, key_file, signed
from connectors.engine.manifest.auth import OAuth2, ServiceAccount
from connectors.engine.template.template import Scope, compile_text
from connectors.engine.transport.failures import TransportFailure
from connectors.engine.transport.redact import Redactor
from connectors.engine.transport.reply import Reply
from connectors.engine.transport.session import Transport
from connectors.engine.transport.waits import retry_after

TOKEN_SECONDS: Final = 30.0
"""The longest wait for an answer of a token endpoint."""
FETCH_SECONDS: Final = 2 * TOKEN_SECONDS
"""The longest time to get a token: when the clocks differ, it is asked for twice."""
FOR_GOOD: Final = frozenset({"invalid_client", "invalid_grant", "unauthorized_client"})
"""Errors of RFC 6749, 5.2, that do not go away by waiting."""
MAX_ANSWER: Final = 262_144
EARLY: Final = 60.0
"""Seconds before its end at which a token is renewed, so that none expires while a request is under way."""
UNSAID: Final = 1_800.0
"""Seconds for which a token of unknown lifetime is used (Salesforce's); a 401 renews it in any case."""
SKEW: Final = 30.0
"""The least difference of the clocks, in seconds, that explains the refusal of a signed request."""


class NoToken(Exception):
    """The token endpoint gave no token. ``code``: the OAuth error, where it said one."""

    def __init__(self, verdict: Down | Throttled, code: str = "") -> None:
        super().__init__(verdict.reason)
        self.verdict = verdict
        self.code = code


@dataclass(frozen=True, slots=True)
class Granted:
    """``seconds``: for how long the token is used. ``refresh_token``: the new one, if the vendor has replaced it."""

    token: str
    seconds: float
    refresh_token: str | None = None


class TokenEndpoint:
    """Asks for tokens by one grant. ``now``: the time of day. ``name``: the connection's, for advice in messages."""

    def __init__(
        self,
        auth: OAuth2 | ServiceAccount,
        transport: Transport,
        redact: Redactor,
        *,
        now: Callable[[], float],
        name: str = "NAME",
    ) -> None:
        self.auth = auth
        self._transport = transport
        self._redact = redact
        self._now = now
        self._name = name
        self._ahead = 0.0
        """Seconds that the vendor's clock is ahead of ours; set when a signed request was refused because of it."""

    async def fetch(self, values: Mapping[str, Any]) -> Granted:
        """Get a token, by the manifest's grant. Raises ``NoToken``."""
        url, form = self._asked(values)
        reply = await self._post(url, form, values)
        if self._wrong_clock(reply):
            url, form = self._asked(values)
            reply = await self._post(url, form, values)
        return self._granted(url, reply)

    async def exchange(self, values: Mapping[str, Any], *, code: str, verifier: str, redirect_uri: str) -> Granted:
        """Exchange the code of a person's consent for tokens (RFC 6749, 4.1.3). Raises ``NoToken``."""
        assert isinstance(self.auth, OAuth2)
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri}
        url = text_of(self.auth.token_url, values)
        reply = await self._post(url, {**form, "code_verifier": verifier, **_client(self.auth, values)}, values)
        return self._granted(url, reply)

    def _asked(self, values: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
        """The URL, and the form to post."""
        try:
            if isinstance(self.auth, ServiceAccount):
                return _service_account(self.auth, values, self._now() + self._ahead)
            return text_of(self.auth.token_url, values), _form(self.auth, values, self._now() + self._ahead)
        except BadKey as error:
            key = self.auth.key if isinstance(self.auth, ServiceAccount) else self.auth.private_key
            mend = self._set(f"{key}=file:/PATH")
            raise NoToken(Down(f"the secret {key} cannot be used: {error}; {mend}")) from error

    async def _post(self, url: str, form: Mapping[str, str], values: Mapping[str, Any]) -> Reply:
        headers = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
        if isinstance(self.auth, OAuth2) and _in_header(self.auth, values):
            pair = (self.auth.client_id, self.auth.client_secret)
            headers |= basic(*(quote(str(values[name]), safe="") for name in pair))
        body = urlencode(form).encode()
        try:
            return await self._transport.exchange("POST", url, headers, body, seconds=TOKEN_SECONDS, limit=MAX_ANSWER)
        except TransportFailure as failure:
            reason = self._redact(f"the token endpoint {url} did not answer: {failure.reason}")
            raise NoToken(Down(reason)) from failure

    def _granted(self, url: str, reply: Reply) -> Granted:
        body = _object(reply)
        token = body.get("access_token")
        if not 200 <= reply.status < 300 or not isinstance(token, str) or not token:
            raise self._refused(url, reply, body)
        renewed = body.get("refresh_token")
        renewed = renewed if isinstance(renewed, str) and renewed else None
        for secret in (token, *([renewed] if renewed else [])):
            self._redact.learn(secret)
        return Granted(token, lifetime(body.get("expires_in")), renewed)

    def _refused(self, url: str, reply: Reply, body: Mapping[str, Any]) -> NoToken:
        wait = retry_after(reply.headers, self._now())
        evidence = Evidence(reply.status, self._redact(reply.body.decode("utf-8", errors="replace")))
        if reply.status == 429:
            return NoToken(Throttled(wait or 10.0, f"the token endpoint {url} is throttled", evidence))
        code = str(body.get("error") or "")
        words = self._redact(str(body.get("error_description") or ""))
        said = ": ".join(part for part in (f"HTTP {reply.status}", code, words) if part)
        reason = f"the token endpoint {url} answered {said}"
        if mend := self._mend(code):
            reason = f"{mend} ({said})"
        if abs(self._ahead) > SKEW:
            reason += f"; this machine's clock is {abs(self._ahead):.0f} s {'behind' if self._ahead > 0 else 'ahead'}"
        return NoToken(Down(reason, wait, evidence), code)

    def _mend(self, code: str) -> str:
        """Advice for an operator about a refusal that does not go away by waiting."""
        if code not in FOR_GOOD:
            return ""
        if isinstance(self.auth, ServiceAccount):
            return f"the service account is refused: {self._set(self.auth.key)}"
        if code != "invalid_grant" or self.auth.grant == "client_credentials":
            secret = self.auth.private_key if self.auth.grant == "jwt_bearer" else self.auth.client_secret
            return f"the client is refused: {self._set(secret)}"
        if self.auth.grant == "jwt_bearer":
            return f"the key, or the user it acts for, is refused: {self._set(self.auth.private_key)}"
        ended = "the refresh token has expired or was revoked"
        if self.auth.authorize is not None:
            return f"{ended}: `writeback connections authorize {shlex.quote(self._name)}` gets a new one"
        return f"{ended}: {self._set(self.auth.refresh_token)}"

    def _set(self, secret: str) -> str:
        return f"`writeback connections set {shlex.quote(self._name)} --secret {secret}` gives another"

    def _wrong_clock(self, reply: Reply) -> bool:
        """Whether the answer's ``Date`` explains the refusal of a signed request; then it is tried by that clock."""
        signs = isinstance(self.auth, ServiceAccount) or self.auth.grant == "jwt_bearer"
        if not signs or reply.status not in {400, 401, 403} or self._ahead:
            return False
        try:
            ahead = parsedate_to_datetime(reply.headers.get("Date", "")).timestamp() - self._now()
        except (ValueError, TypeError):
            return False
        self._ahead = ahead if abs(ahead) > SKEW else 0.0
        return bool(self._ahead)


def _form(auth: OAuth2, values: Mapping[str, Any], now: float) -> dict[str, str]:
    scope = text_of(auth.scope, values)
    more = values.get(auth.params) if auth.params else None
    form = {str(name): str(value) for name, value in more.items()} if isinstance(more, Mapping) else {}
    if auth.grant == "jwt_bearer":
        claims = {"iss": str(values[auth.client_id]), "sub": str(values[auth.subject])}
        claims["aud"] = text_of(auth.audience or auth.token_url, values)
        claims |= {"scope": scope} if scope else {}
        assertion = signed(claims, str(values[auth.private_key]), now, seconds=APP_SECONDS)
        return {**form, "grant_type": JWT_BEARER, "assertion": assertion}
    form["grant_type"] = auth.grant
    if auth.grant == "refresh_token":
        form["refresh_token"] = str(values[auth.refresh_token])
    form |= _client(auth, values)
    return {**form, "scope": scope} if scope else form


def _client(auth: OAuth2, values: Mapping[str, Any]) -> dict[str, str]:
    """The client's credentials, if they belong into the form."""
    match text_of(auth.client_auth, values):
        case "body":
            return {"client_id": str(values[auth.client_id]), "client_secret": str(values[auth.client_secret])}
        case "none":
            return {"client_id": str(values[auth.client_id])}
        case _:
            return {}


def _in_header(auth: OAuth2, values: Mapping[str, Any]) -> bool:
    return auth.grant != "jwt_bearer" and text_of(auth.client_auth, values) == "basic"


def _service_account(auth: ServiceAccount, values: Mapping[str, Any], now: float) -> tuple[str, dict[str, str]]:
    """See https://developers.google.com/identity/protocols/oauth2/service-account."""
    key = key_file(str(values[auth.key]))
    url = text_of(auth.token_url, values) or key["token_uri"]
    claims = {"iss": key["client_email"], "aud": key["token_uri"], "scope": text_of(auth.scope, values)}
    if auth.subject and values.get(auth.subject):
        claims["sub"] = str(values[auth.subject])
    assertion = signed(claims, key["private_key"], now, seconds=ACCOUNT_SECONDS, key_id=key.get("private_key_id"))
    return url, {"grant_type": JWT_BEARER, "assertion": assertion}


def basic(username: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + b64encode(f"{username}:{password}".encode()).decode()}


def text_of(template: str, values: Mapping[str, Any]) -> str:
    """A text of the manifest, filled in from the settings."""
    text = compile_text(template, {"settings": values, "object": {}}, in_path=False)
    return text if isinstance(text, str) else text(Scope({}))


def lifetime(expires_in: Any) -> float:
    """Seconds for which a token is used: fewer than the vendor says, so that none expires while under way."""
    try:
        seconds = float(expires_in)
    except (TypeError, ValueError):
        return UNSAID
    return max(seconds - min(EARLY, seconds / 10), 1.0)


def _object(reply: Reply) -> dict[str, Any]:
    try:
        body = from_json(reply.body)
    except ValueError:
        return {}
    return body if isinstance(body, dict) and not reply.truncated else {}
