"""A person's consent: the vendor's page, with PKCE (RFC 7636), and the tokens for the code that comes back."""

from __future__ import annotations

import time
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from urllib.parse import urlencode

from connectors.contract import Down
from connectors.engine.auth.endpoint import NoToken, TokenEndpoint, text_of
from connectors.engine.manifest.auth import Auth, OAuth2
from connectors.engine.transport.addresses import AddressGuard
from connectors.engine.transport.redact import Redactor
from connectors.engine.transport.session import Transport


@dataclass(frozen=True, slots=True)
class ConsentRequest:
    """One request for consent. ``state``, ``verifier``: random texts of at least 43 characters, used only once."""

    auth: OAuth2
    values: Mapping[str, Any]
    redirect_uri: str
    state: str
    verifier: str

    @property
    def page(self) -> str:
        """The address that the person opens."""
        assert self.auth.authorize is not None
        asked = self.auth.authorize
        parameters = {
            "response_type": "code",
            "client_id": str(self.values[self.auth.client_id]),
            "redirect_uri": self.redirect_uri,
            "scope": text_of(asked.scope, self.values),
            "state": self.state,
            "code_challenge": challenge(self.verifier),
            "code_challenge_method": "S256",
            **{name: text_of(value, self.values) for name, value in asked.params.items()},
        }
        url = text_of(asked.url, self.values)
        return (
            f"{url}{'&' if '?' in url else '?'}{urlencode({name: text for name, text in parameters.items() if text})}"
        )

    async def secrets(self, code: str, guard: AddressGuard) -> dict[str, str]:
        """The refresh token for the code, under the name of its secret. Raises ``NoToken``."""
        transport = Transport(guard)
        redact = Redactor([str(self.values.get(self.auth.client_secret, "")), code, self.verifier])
        endpoint = TokenEndpoint(self.auth, transport, redact, now=time.time)  # noqa: TID251 - the edge
        try:
            granted = await endpoint.exchange(
                self.values, code=code, verifier=self.verifier, redirect_uri=self.redirect_uri
            )
        finally:
            await transport.aclose()
        if granted.refresh_token is None:
            raise NoToken(Down("the vendor gave a token for now and no refresh token: the scope lacks offline access"))
        return {self.auth.refresh_token: granted.refresh_token}


def challenge(verifier: str) -> str:
    """S256 of RFC 7636, 4.2."""
    return urlsafe_b64encode(sha256(verifier.encode()).digest()).decode().rstrip("=")


def asked_of_a_person(ways: Sequence[Auth]) -> OAuth2 | None:
    """The way of authentication that needs a person's consent, if the manifest has one."""
    return next((way for way in ways if isinstance(way, OAuth2) and way.authorize is not None), None)
