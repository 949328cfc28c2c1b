"""Chooses the credentials of a connection's requests: fixed headers, or a token that is fetched and renewed."""

from __future__ import annotations

from collections.abc import Callable

from connectors.connections.tokens import ConnectionTokens
from connectors.engine.auth.endpoint import TokenEndpoint, basic, text_of
from connectors.engine.auth.token import Credentials, TokenCredentials
from connectors.engine.manifest.auth import ApiKey, Basic, Bearer, OAuth2, ServiceAccount
from connectors.engine.manifest.configuration import Configuration
from connectors.engine.transport.redact import Redactor
from connectors.engine.transport.session import Transport

__all__ = ["Credentials", "credentials"]


def credentials(
    configuration: Configuration,
    transport: Transport,
    redact: Redactor,
    *,
    now: Callable[[], float],
    tokens: ConnectionTokens | None = None,
) -> Credentials:
    """The credentials for the way of authentication that the connection's settings have chosen."""
    values = configuration.values
    match configuration.auth:
        case Bearer() as auth:
            return Credentials({"Authorization": f"Bearer {values[auth.token]}"})
        case Basic() as auth:
            return Credentials(basic(str(values[auth.username]), str(values[auth.password])))
        case ApiKey(place="query") as auth:
            return Credentials(params={text_of(auth.name, values): str(values[auth.key])})
        case ApiKey() as auth:
            return Credentials({text_of(auth.name, values): str(values[auth.key])})
        case OAuth2() | ServiceAccount() as auth:
            name = "NAME" if tokens is None else tokens.name
            return TokenCredentials(TokenEndpoint(auth, transport, redact, now=now, name=name), values, redact, tokens)
        case _:
            return Credentials()
