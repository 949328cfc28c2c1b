"""The ways into a vendor's API. A manifest lists those there are; a connection uses the one it has secrets for."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from connectors.engine.manifest.parts import Part, Text
from connectors.engine.template.placeholders import references


class NoAuth(Part):
    """The API is open, or the credentials are in a header of the settings."""

    type: Literal["none"]


class Bearer(Part):
    """``Authorization: Bearer`` and a token."""

    type: Literal["bearer"]
    token: str = Field(default="access_token", description="The setting that holds the token.")


class Basic(Part):
    """``Authorization: Basic``."""

    type: Literal["basic"]
    username: str = Field(default="username", description="The setting that holds the user name.")
    password: str = Field(default="password", description="The setting that holds the password.")


class ApiKey(Part):
    """A key in a header of its own, or in the query."""

    type: Literal["api_key"]
    key: str = Field(default="api_key", description="The setting that holds the key.")
    place: Literal["header", "query"] = Field(default="header", alias="in")
    name: Text = Field(default="X-API-Key", description="The header's or the parameter's name.")


class OAuth2(Part):
    """A short-lived token, fetched from the vendor's token endpoint."""

    type: Literal["oauth2"]
    grant: Literal["client_credentials", "refresh_token"]
    token_url: Text
    client_id: str = Field(default="client_id", description="The setting that holds the client's id.")
    client_secret: str = Field(default="client_secret", description="The setting that holds the client's secret.")
    refresh_token: str = Field(default="refresh_token", description="The setting that holds the refresh token.")
    scope: Text = ""
    client_auth: Literal["body", "basic"] = Field(default="body", description="Where the client's secret is sent.")


Auth = Annotated[NoAuth | Bearer | Basic | ApiKey | OAuth2, Field(discriminator="type")]


def settings_of(auth: Auth) -> tuple[str, ...]:
    """The settings that a connection must have for this way."""
    match auth:
        case NoAuth():
            return ()
        case Bearer():
            return (auth.token,)
        case Basic():
            return (auth.username, auth.password)
        case ApiKey():
            return (auth.key,)
        case OAuth2():
            token = (auth.refresh_token,) if auth.grant == "refresh_token" else ()
            return (auth.client_id, auth.client_secret, *token, *(name for _, name in references(auth.token_url)))
