"""The ways to authenticate with a vendor. A manifest lists them; a connection uses the one it has secrets for."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

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


class Authorize(Part):
    """How a person lets the app in, once: `writeback connections authorize` opens this page and gets a refresh token.

    It is the authorization code grant with PKCE (RFC 6749, 4.1; RFC 7636).
    """

    url: Text = Field(description="The vendor's page on which a person says yes.")
    scope: Text = Field(default="", description="What is asked for; many vendors want offline_access in it.")
    params: dict[str, Text] = Field(default={}, description="More parameters of that page.")


class Webhook(Part):
    """An address that is itself the secret: whoever knows it may send there. A connector's own code does that."""

    type: Literal["webhook"]
    url: str = Field(default="webhook_url", description="The setting that holds the address.")
    instead_of: list[str] = Field(
        default=[], description="Fields that no event needs: the address stands for them, as for a channel."
    )


class OAuth2(Part):
    """A short-lived token, fetched from the vendor's token endpoint and shared by all workers of a connection."""

    type: Literal["oauth2"]
    grant: Literal["client_credentials", "refresh_token", "jwt_bearer"]
    token_url: Text
    client_id: str = Field(default="client_id", description="The setting that holds the client's id.")
    client_secret: str = Field(default="client_secret", description="The setting that holds the client's secret.")
    refresh_token: str = Field(default="refresh_token", description="The setting that holds the refresh token.")
    scope: Text = Field(default="", description="Sent with every request for a token.")
    client_auth: Text = Field(
        default="body",
        description="Where the client's secret is sent: body, basic (in a header), or none: it has no secret.",
    )
    params: str | None = Field(
        default=None, description="The setting that holds more parameters for the token endpoint, as in audience."
    )
    authorize: Authorize | None = Field(
        default=None, description="For refresh_token: how a person gives the first refresh token."
    )
    private_key: str = Field(default="private_key", description="For jwt_bearer: the setting that holds the RSA key.")
    subject: str = Field(
        default="username", description="For jwt_bearer: the setting that holds the user in whose name it acts."
    )
    audience: Text = Field(default="", description="For jwt_bearer: for whom the assertion is; none: the token_url.")

    @field_validator("client_auth")
    @classmethod
    def _client_auth_is_known(cls, value: str) -> str:
        if "{" not in value and value not in {"body", "basic", "none"}:
            raise ValueError(f"{value!r} is none of body, basic, none")
        return value

    @model_validator(mode="after")
    def _only_a_refresh_token_is_given_by_a_person(self) -> OAuth2:
        if self.authorize is not None and self.grant != "refresh_token":
            raise ValueError("authorize: it gives a refresh token, so the grant is refresh_token")
        return self


class ServiceAccount(Part):
    """A service account of Google: its key file signs the request for a token."""

    type: Literal["service_account"]
    key: str = Field(default="service_account", description="The setting that holds the JSON of the key file.")
    scope: Text = Field(description="What is asked for, as in https://www.googleapis.com/auth/spreadsheets.")
    subject: str | None = Field(
        default=None, description="The setting that holds the user in whose name it acts, where there is one."
    )
    token_url: Text = Field(default="", description="None given: the token_uri of the key file.")


Auth = Annotated[NoAuth | Bearer | Basic | ApiKey | Webhook | OAuth2 | ServiceAccount, Field(discriminator="type")]


def settings_of(auth: Auth) -> tuple[str, ...]:
    """The settings that a connection needs for this way."""
    addressed = references(auth.token_url) if isinstance(auth, OAuth2) else ()
    return (*credentials_of(auth), *(name for _, name in addressed))


def credentials_of(auth: Auth) -> tuple[str, ...]:
    """Those that say who it is: not an address, which the other ways may have as well."""
    match auth:
        case NoAuth():
            return ()
        case Bearer():
            return (auth.token,)
        case Basic():
            return (auth.username, auth.password)
        case ApiKey() | ServiceAccount():
            return (auth.key,)
        case Webhook():
            return (auth.url,)
        case OAuth2():
            return (*_client_of(auth), *_grant_of(auth))


def _client_of(auth: OAuth2) -> tuple[str, ...]:
    if auth.client_auth == "none" or auth.grant == "jwt_bearer":
        return (auth.client_id,)
    return (auth.client_id, auth.client_secret)


def _grant_of(auth: OAuth2) -> tuple[str, ...]:
    match auth.grant:
        case "refresh_token":
            return (auth.refresh_token,)
        case "jwt_bearer":
            return (auth.subject, auth.private_key)
        case _:
            return ()


def texts_of(auth: Auth) -> tuple[str, ...]:
    """Its texts that are templates, besides the ``token_url`` of ``OAuth2``."""
    match auth:
        case OAuth2():
            person = auth.authorize
            asked = () if person is None else (person.url, person.scope, *person.params.values())
            return (auth.client_auth, auth.scope, auth.audience, *asked)
        case ServiceAccount():
            return (auth.scope, auth.token_url)
        case ApiKey():
            return (auth.name,)
        case _:
            return ()
