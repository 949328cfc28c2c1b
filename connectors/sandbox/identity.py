"""A vendor's identity service: a person's yes with PKCE, refresh tokens, and apps that act for themselves.

It enforces RFC 6749 and 7636 as far as Xero and HubSpot do: a code is good once, for the address and the verifier it
was asked with. Where refresh tokens rotate (Xero) one is good once, and a second use of it is ``invalid_grant``.
"""

from __future__ import annotations

from base64 import b64decode, urlsafe_b64encode
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final, Literal
from urllib.parse import unquote, urlencode, urlsplit

from connectors.sandbox.call import Answer, Call, answer

ACCESS_SECONDS: Final = 1_800


@dataclass(frozen=True, slots=True)
class Asked:
    """What a code was given for."""

    client: str
    redirect_uri: str
    challenge: str
    scope: str


@dataclass(slots=True)
class Identity:
    """``authorize``: the path of the page on which a person says yes; every other is the token endpoint.

    ``clients``: id to secret; none: any client is known and any bearer token is good, until it is revoked.

    ``no``: what a person says instead of yes. ``codes``, ``refresh_tokens``: those that are good. ``access_tokens``:
    until when each is good, by the monotonic clock.
    """

    clients: dict[str, str] = field(default_factory=dict)
    authorize: str = ""
    rotating: bool = True
    no: str = ""
    codes: dict[str, Asked] = field(default_factory=dict)
    refresh_tokens: dict[str, str] = field(default_factory=dict)
    access_tokens: dict[str, float] = field(default_factory=dict)
    asked: int = 0
    """How often a token was asked for."""
    refused: int = 0

    def serve(self, call: Call) -> Answer:
        if call.path == self.authorize:
            return self._page(call)
        self.asked += 1
        given = self._granted(call)
        if given.status != 200:
            self.refused += 1
        return given

    def knows(self, token: str, now: float) -> Literal["good", "unknown", "expired"]:
        """What is to be thought of a bearer token."""
        if not self.clients:
            return "good" if token else "unknown"
        if token not in self.access_tokens:
            return "unknown"
        return "good" if self.access_tokens[token] > now else "expired"

    def revoke(self) -> None:
        """The organisation disconnects the app."""
        self.refresh_tokens.clear()
        self.access_tokens.clear()

    def expire(self) -> None:
        """Every access token ends now."""
        self.access_tokens = dict.fromkeys(self.access_tokens, 0.0)

    def _page(self, call: Call) -> Answer:
        """The person says yes, or ``no``, at once: the browser goes back to the app."""
        redirect, client = call.first("redirect_uri"), call.first("client_id")
        if (self.clients and client not in self.clients) or urlsplit(redirect).hostname not in {
            "localhost",
            "127.0.0.1",
        }:
            return Answer(400, b"<html>Error: unauthorized_client : Invalid redirect_uri</html>", {}, "text/html")
        back = {"state": call.first("state")}
        if call.first("response_type") != "code" or call.first("code_challenge_method") != "S256":
            back["error"] = "invalid_request"
        elif self.no:
            back["error"] = self.no
        else:
            code = back["code"] = f"code-{call.number}"
            self.codes[code] = Asked(client, redirect, call.first("code_challenge"), call.first("scope"))
        return Answer(302, b"", {"Location": f"{redirect}?{urlencode(back)}"})

    def _granted(self, call: Call) -> Answer:
        form = call.form()
        client, secret = self._client(call, form)
        if self.clients and self.clients.get(client) != secret:
            return answer(400, {"error": "invalid_client"})
        match form.get("grant_type"):
            case "client_credentials":
                return self._given(call, client, refresh=False)
            case "refresh_token" if self._is_good(form, client):
                return self._given(call, client, refresh=True, kept="" if self.rotating else form["refresh_token"])
            case "authorization_code" if self._is_asked(form, client):
                return self._given(call, client, refresh=True)
            case "refresh_token" | "authorization_code":
                return answer(400, {"error": "invalid_grant"})
            case _:
                return answer(400, {"error": "unsupported_grant_type"})

    def _is_good(self, form: dict[str, str], client: str) -> bool:
        token = form.get("refresh_token", "")
        owner = self.refresh_tokens.pop(token, None) if self.rotating else self.refresh_tokens.get(token)
        return not self.clients or owner == client

    def _is_asked(self, form: dict[str, str], client: str) -> bool:
        asked = self.codes.pop(form.get("code", ""), None)
        verifier = form.get("code_verifier", "")
        challenge = urlsafe_b64encode(sha256(verifier.encode()).digest()).decode().rstrip("=")
        return asked is not None and (asked.client, asked.redirect_uri, asked.challenge) == (
            client,
            form.get("redirect_uri"),
            challenge,
        )

    def _given(self, call: Call, client: str, *, refresh: bool, kept: str = "") -> Answer:
        token = f"access-{call.number}"
        self.access_tokens[token] = call.now + ACCESS_SECONDS
        given: dict[str, object] = {"access_token": token, "expires_in": ACCESS_SECONDS, "token_type": "Bearer"}
        given["token_use"] = "access_token" if refresh else "client_credentials"
        if refresh:
            given["refresh_token"] = kept or f"refresh-{call.number}"
            self.refresh_tokens[str(given["refresh_token"])] = client
        return answer(200, given)

    def _client(self, call: Call, form: dict[str, str]) -> tuple[str, str]:
        scheme, _, pair = call.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "basic":
            name, _, secret = b64decode(pair).decode().partition(":")
            return unquote(name), unquote(secret)
        return form.get("client_id", ""), form.get("client_secret", "")
