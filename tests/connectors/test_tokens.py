"""Every way into every vendor that goes by a token: fetched, ended, revoked, used by somebody else, or not to be had.

The rows are made of the manifests, so that no connector and no way escapes them.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from email.utils import formatdate
from functools import cache
from itertools import count
from typing import Any
from urllib.parse import parse_qs

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from connectors import registry
from connectors.connections.store import Connections
from connectors.connections.tokens import Turn
from connectors.contract import Delivered, Down, Throttled
from connectors.engine.auth import shared_fetch
from connectors.engine.manifest.auth import OAuth2, ServiceAccount, settings_of
from connectors.engine.runner.runner import HttpConnector
from tests.conformance.connectors import LARGE, NOW, PAGE
from tests.conformance.vendor import Told, Vendor
from topics.store import open_store

NUMBERS = count(1)
KEY = "a long random text for tests"
GOOD = Told(200, b'{"id": "1", "spreadsheetId": "s", "records": [], "Organisations": [{}], "portalId": 1}')
"""An answer to any vendor's probe."""


def ways() -> list[Any]:
    found = []
    for name in registry.NAMES:
        for place, way in enumerate(registry.manifest(name).auth):
            if isinstance(way, OAuth2 | ServiceAccount):
                kind = way.grant if isinstance(way, OAuth2) else way.type
                found.append(pytest.param((name, place), id=f"{name}-{kind}"))
    return found


@cache
def pem() -> str:
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return rsa.generate_private_key(65_537, 2_048).private_bytes(*form).decode()


class Account:
    """A connection with what one way in needs, and the vendor's answers in their order."""

    def __init__(self, vendor: Vendor, connections: Connections, name: str, place: int) -> None:
        self.vendor, self.manifest = vendor, registry.manifest(name)
        way = self.manifest.auth[place]
        assert isinstance(way, OAuth2 | ServiceAccount)
        self.way = way
        self.rotates = isinstance(way, OAuth2) and way.grant == "refresh_token"
        self.signs = isinstance(way, ServiceAccount) or way.grant == "jwt_bearer"
        known = {
            "base_url": vendor.url,
            "token_url": f"{vendor.url}/token",
            "private_key": pem(),
            "refresh_token": "refresh-0",
            "service_account": json.dumps(
                {"client_email": "a@b.iam", "private_key": pem(), "token_uri": f"{vendor.url}/token"}
            ),
        }
        needed = {"base_url", "token_url", *settings_of(way), *(["tenant_id"] if name == "xero" else [])}
        needed |= {one for one, spec in self.manifest.settings.items() if spec.required}
        values = {one: known.get(one, "given") for one in needed if one in self.manifest.settings}
        secret = {one for one in values if self.manifest.settings[one].secret}
        settings = {one: value for one, value in values.items() if one not in secret}
        self.connections = connections
        self.made = self.connections.add(
            f"The CRM {next(NUMBERS)}", name, settings={"allow_private_addresses": True, **settings},
            secrets={one: values[one] for one in secret},
        )  # fmt: skip
        secrets = self.connections.secrets(self.made)
        self.connector: HttpConnector = registry.class_of(name)(
            self.manifest, self.made.settings, secrets, now=lambda: NOW,
            tokens=self.connections.tokens(self.made, secrets),
        )  # fmt: skip

    def token(self, number: int, **more: Any) -> Told:
        body: dict[str, Any] = {"access_token": f"access-{number}", "expires_in": 1_800, **more}
        return Told(200, json.dumps(body | ({"refresh_token": f"refresh-{number}"} if self.rotates else {})).encode())

    @property
    def asked(self) -> list[dict[str, str]]:
        """The forms that the token endpoint was sent."""
        bodies = [one.body.decode() for one in self.vendor.received if b"grant_type" in one.body]
        return [{name: values[0] for name, values in parse_qs(body).items()} for body in bodies]

    @property
    def used(self) -> list[str]:
        return [one.headers["authorization"] for one in self.vendor.received if b"grant_type" not in one.body]


@pytest.fixture
async def vendor() -> AsyncIterator[Vendor]:
    async with Vendor(GOOD) as vendor:
        yield vendor


@pytest.fixture(scope="module")
def connections(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connections]:
    engine = open_store(f"sqlite:///{tmp_path_factory.mktemp('tokens')}/store.db")
    yield Connections(engine, KEY)
    engine.dispose()


@pytest.fixture(params=ways())
async def account(
    request: pytest.FixtureRequest, vendor: Vendor, connections: Connections, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Account]:
    monkeypatch.setattr(shared_fetch, "POLL", 0.01)
    account = Account(vendor, connections, *request.param)
    yield account
    await account.connector.close()


async def test_a_token_that_ends_early(account: Account) -> None:
    """Refused before its time, or without one: another is fetched, and the call goes again."""
    account.vendor.script = [account.token(1, expires_in="soon"), Told(401), account.token(2), GOOD]
    first, second = await account.connector.probe(), await account.connector.probe()

    assert [type(first), type(second)] == [Delivered, Delivered]
    assert account.used == ["Bearer access-1", "Bearer access-2", "Bearer access-2"]
    if account.rotates:
        assert [form["refresh_token"] for form in account.asked] == ["refresh-0", "refresh-1"]
        assert account.connections.secrets(account.made)["refresh_token"] == "refresh-2"


async def test_a_token_that_is_refused_for_good(account: Account) -> None:
    """A second token that is refused as well is no token's fault: down, and nobody asks for a third."""
    account.vendor.script = [account.token(1), Told(401), account.token(2), Told(401)]

    assert isinstance(await account.connector.probe(), Down)
    assert len(account.asked) == 2


@pytest.mark.parametrize("code", ["invalid_grant", "invalid_client", "unauthorized_client"])
async def test_what_is_revoked(account: Account, code: str) -> None:
    """Nothing is sent, the connection is down, and the reason has a command that mends it and no secret."""
    secret = "refresh-0" if account.rotates else next(iter(account.connections.secrets(account.made).values()))
    account.vendor.told = Told(400, json.dumps({"error": code, "error_description": f"no {secret}"}).encode())
    verdict = await account.connector.probe()

    assert isinstance(verdict, Down)
    assert "`writeback connections " in verdict.reason
    assert f"'{account.made.name}'" in verdict.reason
    assert secret not in repr(verdict)
    assert account.used == []


async def test_a_token_that_somebody_else_has_fetched(account: Account) -> None:
    """Another worker has one: it is used, and the refresh token with it; none is fetched."""
    other = account.connections.tokens(account.made, account.connections.secrets(account.made))
    turn = other.take()
    assert isinstance(turn, Turn)
    other.keep(turn, "access-7", 1_800.0, {"refresh_token": "refresh-7"} if account.rotates else {})

    assert isinstance(await account.connector.probe(), Delivered)
    assert (account.asked, account.used) == ([], ["Bearer access-7"])
    account.vendor.script = [Told(401), account.token(8), GOOD]
    assert isinstance(await account.connector.probe(), Delivered)
    if account.rotates:
        assert account.asked[0]["refresh_token"] == "refresh-7"


async def test_clocks_that_differ(account: Account) -> None:
    """Who signs a time that the vendor does not believe signs again, at the vendor's time; others sign none."""
    ahead = 3_600
    skewed = Told(400, b'{"error": "invalid_grant"}', (("Date", formatdate(NOW + ahead, usegmt=True)),))
    account.vendor.script = [skewed, account.token(1)]
    verdict = await account.connector.probe()

    if not account.signs:
        assert isinstance(verdict, Down)
        return
    issued = [jwt.decode(form["assertion"], options={"verify_signature": False})["iat"] for form in account.asked]
    assert isinstance(verdict, Delivered)
    assert issued == [NOW, NOW + ahead]


NO_TOKEN = [
    (Told(302, headers=(("Location", "/elsewhere"),)), Down),
    (Told(429, headers=(("Retry-After", "9"),)), Throttled),
    (Told(503), Down),
    (PAGE, Down),
    (Told(200, b""), Down),
    (Told(200, b'{"access_token": null}'), Down),
    (Told(200, b'{"access_token": "cut'), Down),
    (Told(200, LARGE), Down),
    (Told(200, b'{"access_token": "cut"}', behaviour="break_body"), Down),
    (Told(behaviour="reset_read"), Down),
]


async def test_answers_that_are_no_token(account: Account) -> None:
    """No record is to blame, and nothing is sent without a token; a redirect is not followed."""
    for told, verdict in NO_TOKEN:
        account.vendor.told = told
        asked = len(account.asked)

        assert type(await account.connector.probe()) is verdict, told.body[:20]
        assert (len(account.asked), account.used) == (asked + 1, [])
