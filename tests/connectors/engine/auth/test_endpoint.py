"""What a token endpoint is asked, and what its answers mean."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from functools import cache
from typing import Any
from urllib.parse import parse_qs

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from connectors.contract import Down
from connectors.engine.auth.endpoint import Granted, NoToken, TokenEndpoint
from connectors.engine.manifest.auth import Authorize, OAuth2, ServiceAccount
from connectors.engine.transport.addresses import AddressGuard
from connectors.engine.transport.redact import Redactor
from connectors.engine.transport.session import Transport
from tests.conformance.vendor import Told, Vendor

NOW = 1_764_000_000.0
OK = Told(200, b'{"access_token": "access-1", "expires_in": 3600}')
BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
Made = Callable[..., TokenEndpoint]


@cache
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65_537, 2_048)


def pem() -> str:
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return key().private_bytes(*form).decode()


def google(vendor: Vendor) -> dict[str, str]:
    file = {
        "client_email": "me@p.iam",
        "private_key": pem(),
        "private_key_id": "k1",
        "token_uri": f"{vendor.url}/token",
    }
    return {"service_account": json.dumps(file)}


def app(vendor: Vendor, **more: Any) -> OAuth2:
    return OAuth2(type="oauth2", token_url=f"{vendor.url}/token", **more)


def salesforce(vendor: Vendor) -> OAuth2:
    return app(vendor, grant="jwt_bearer", audience="https://login.example.com")


@pytest.fixture
async def vendor() -> AsyncIterator[Vendor]:
    async with Vendor(OK) as vendor:
        yield vendor


@pytest.fixture
async def endpoint() -> AsyncIterator[Made]:
    transport = Transport(AddressGuard(allow=True))

    def made(auth: OAuth2 | ServiceAccount, name: str = "crm") -> TokenEndpoint:
        return TokenEndpoint(auth, transport, Redactor(["s3cret"]), now=lambda: NOW, name=name)

    yield made
    await transport.aclose()


def form(vendor: Vendor, at: int = -1) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(vendor.received[at].body.decode()).items()}


def claims(vendor: Vendor, audience: str, at: int = -1) -> dict[str, Any]:
    """Verified with the public key, as the vendor does."""
    asked = form(vendor, at)
    assert asked["grant_type"] == BEARER
    options: Any = {"verify_exp": False, "verify_iat": False}
    return dict(jwt.decode(asked["assertion"], key().public_key(), ["RS256"], options, audience=audience))


async def test_an_app_signs_for_its_user(vendor: Vendor, endpoint: Made) -> None:
    """Salesforce's JWT bearer: who asks, for whom, at which login, three minutes at most; and no secret is sent."""
    values = {"client_id": "app", "username": "ada@acme.com", "private_key": pem()}

    granted = await endpoint(salesforce(vendor)).fetch(values)

    assert granted == Granted("access-1", 3_540.0)
    assert claims(vendor, "https://login.example.com") == {
        "iss": "app", "sub": "ada@acme.com", "aud": "https://login.example.com", "iat": NOW, "exp": NOW + 180,
    }  # fmt: skip
    assert set(form(vendor)) == {"grant_type", "assertion"}


async def test_a_service_account_signs_for_a_scope(vendor: Vendor, endpoint: Made) -> None:
    """Google's: the key file says who, and where to; the key's id is in the header."""
    auth = ServiceAccount(type="service_account", scope="https://www.googleapis.com/auth/spreadsheets")

    await endpoint(auth).fetch(google(vendor))

    assert claims(vendor, f"{vendor.url}/token") == {
        "iss": "me@p.iam", "scope": "https://www.googleapis.com/auth/spreadsheets", "aud": f"{vendor.url}/token",
        "iat": NOW, "exp": NOW + 3_600,
    }  # fmt: skip
    assert jwt.get_unverified_header(form(vendor)["assertion"])["kid"] == "k1"


async def test_a_key_in_one_line_is_a_key(vendor: Vendor, endpoint: Made) -> None:
    """Whoever pastes a PEM into one line writes its breaks as backslash and n."""
    values = {"client_id": "app", "username": "ada@acme.com", "private_key": pem().replace("\n", "\\n")}

    assert (await endpoint(salesforce(vendor)).fetch(values)).token == "access-1"


@pytest.mark.parametrize("wrong", ["hunter2 is no key", pem().replace("PRIVATE", "PUBLIC"), "s3cret"])
async def test_a_key_that_is_none_is_named(vendor: Vendor, endpoint: Made, wrong: str) -> None:
    """Nothing is sent, the secret is named and nothing of it is shown."""
    values = {"client_id": "app", "username": "ada@acme.com", "private_key": wrong}
    with pytest.raises(NoToken, match="connections set crm --secret private_key=file:/PATH") as raised:
        await endpoint(salesforce(vendor)).fetch(values)

    assert vendor.received == []
    assert wrong.splitlines()[0] not in str(raised.value).replace("private_key", "")


@pytest.mark.parametrize("minutes", [10, -10])
async def test_a_wrong_clock_is_found_out(vendor: Vendor, endpoint: Made, minutes: int) -> None:
    """A signed request that is refused is tried once more by the clock of the answer, and later ones go by it."""
    date = {10: "Mon, 24 Nov 2025 16:10:00 GMT", -10: "Mon, 24 Nov 2025 15:50:00 GMT"}[minutes]
    vendor.script = [Told(400, b'{"error": "invalid_grant"}', (("Date", date),))]
    asking = endpoint(salesforce(vendor))
    values = {"client_id": "app", "username": "ada@acme.com", "private_key": pem()}

    await asking.fetch(values)
    await asking.fetch(values)

    issued = [claims(vendor, "https://login.example.com", at)["iat"] - NOW for at in range(3)]
    assert issued == [0, minutes * 60, minutes * 60]


async def test_a_clock_that_is_wrong_and_a_key_that_is_too(vendor: Vendor, endpoint: Made) -> None:
    """Both are said."""
    vendor.told = Told(400, b'{"error": "invalid_grant"}', (("Date", "Mon, 24 Nov 2025 16:10:00 GMT"),))
    values = {"client_id": "app", "username": "ada@acme.com", "private_key": pem()}
    with pytest.raises(NoToken, match=r"--secret private_key` gives another .*clock is 600 s behind") as raised:
        await endpoint(salesforce(vendor)).fetch(values)

    assert isinstance(raised.value.verdict, Down)
    assert len(vendor.received) == 2


@pytest.mark.parametrize(
    ("client_auth", "sent", "header"),
    [
        ("body", {"client_id": "me", "client_secret": "s&cret"}, None),
        ("basic", {}, "Basic bWU6cyUyNmNyZXQ="),
        ("none", {"client_id": "me"}, None),
    ],
)
async def test_where_the_client_says_who_it_is(
    vendor: Vendor, endpoint: Made, client_auth: str, sent: dict[str, str], header: str | None
) -> None:
    """In the form, in the header (RFC 6749, 2.3.1: encoded as in a form), or without a secret."""
    auth = app(vendor, grant="refresh_token", client_auth=client_auth, params="token_params", scope="a b")
    values = {"client_id": "me", "client_secret": "s&cret", "refresh_token": "r", "token_params": {"audience": "api"}}

    await endpoint(auth).fetch(values)

    more = {"grant_type": "refresh_token", "refresh_token": "r", "audience": "api", "scope": "a b"}
    assert form(vendor) == more | sent
    assert vendor.received[0].headers.get("authorization") == header


@pytest.mark.parametrize(
    ("grant", "code", "says"),
    [
        ("refresh_token", "invalid_grant", "`writeback connections authorize 'My books'` gets a new one"),
        (
            "refresh_token",
            "invalid_client",
            "`writeback connections set 'My books' --secret client_secret` gives another",
        ),
        ("client_credentials", "unauthorized_client", "--secret client_secret` gives another"),
        ("client_credentials", "invalid_scope", "the token endpoint"),
    ],
)
async def test_what_mends_it_is_said(vendor: Vendor, endpoint: Made, grant: str, code: str, says: str) -> None:
    """A refusal that no waiting ends comes with the command that ends it."""
    vendor.told = Told(400, json.dumps({"error": code, "error_description": "s3cret no"}).encode())
    page = {"authorize": Authorize(url="https://login.example.com")} if grant == "refresh_token" else {}
    auth = app(vendor, grant=grant, **page)
    values = {"client_id": "me", "client_secret": "s3cret", "refresh_token": "r"}
    with pytest.raises(NoToken) as raised:
        await endpoint(auth, "My books").fetch(values)

    assert says in raised.value.verdict.reason
    assert code in raised.value.verdict.reason
    assert "s3cret" not in repr(raised.value.verdict)


@pytest.mark.parametrize("body", [b"", b"[1]", b'{"access_token": 5}', b'{"access_token": "x"', b"<html>"])
async def test_an_answer_that_is_none(vendor: Vendor, endpoint: Made, body: bytes) -> None:
    """A 200 without a token is no token."""
    vendor.told = Told(200, body)
    with pytest.raises(NoToken, match="HTTP 200"):
        await endpoint(app(vendor, grant="client_credentials")).fetch({"client_id": "a", "client_secret": "b"})
