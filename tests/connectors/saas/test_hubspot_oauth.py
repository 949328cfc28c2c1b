"""HubSpot under an OAuth app: tokens for half an hour, of a refresh token or of the app itself."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
from hubspot import Client

from connectors.contract import Delivered, Down
from connectors.registry import manifest
from connectors.saas.hubspot.connector import HubSpotConnector
from connectors.sandbox.call import Call
from connectors.sandbox.faults import Faults
from connectors.sandbox.hubspot import HubSpot as SandboxHubSpot
from connectors.sandbox.server import Sandbox
from tests.connectors.saas.test_hubspot_records import event
from tests.connectors.sandbox.description import Description, descriptions
from tests.connectors.sandbox_thread import running

CLIENTS = {"app": "s3cret"}


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(latency=0, hubspot=SandboxHubSpot(Faults(), clients=CLIENTS)) as sandbox:
        sandbox.hubspot.identity.refresh_tokens["refresh-0"] = "app"
        yield sandbox


def made(url: str, **secrets: str) -> HubSpotConnector:
    settings = {"base_url": url, "allow_private_addresses": True, "client_id": "app"}
    return HubSpotConnector(manifest("hubspot"), settings, {"client_secret": "s3cret", **secrets})


@pytest.mark.parametrize("secrets", [{"refresh_token": "refresh-0"}, {}])
async def test_tokens_are_fetched_and_renewed(sandbox: Sandbox, secrets: dict[str, str]) -> None:
    """One token for many calls; one that has expired is renewed, and the call that met it is made again."""
    hubspot = made(sandbox.url, **secrets)
    identity = sandbox.hubspot.identity
    first = await hubspot.deliver([event("add", email=f"{name}@acme.com") for name in "ab"])
    asked = identity.asked
    identity.expire()
    (second,) = await hubspot.deliver([event("add", email="c@acme.com")])
    await hubspot.close()

    assert [type(each) for each in (*first, second)] == [Delivered] * 3
    assert (asked, identity.asked) == (1, 2)


async def test_an_app_that_was_taken_out(sandbox: Sandbox) -> None:
    """A refresh token that is good no more stops the connection, and says what mends it."""
    hubspot = made(sandbox.url, refresh_token="refresh-0")
    assert isinstance(await hubspot.probe(), Delivered)
    sandbox.hubspot.identity.revoke()
    (verdict,) = await hubspot.deliver([event("add", email="a@acme.com")])
    await hubspot.close()

    assert isinstance(verdict, Down)
    assert "writeback connections authorize" in verdict.reason


def test_hubspots_own_client_gets_its_tokens() -> None:
    """The SDK's calls for tokens work against the sandbox, and a wrong secret is told so."""
    vendor = SandboxHubSpot(Faults(), clients=CLIENTS)
    vendor.identity.refresh_tokens["refresh-0"] = "app"
    with running(Sandbox(latency=0, hubspot=vendor)) as sandbox:
        api = Client.create(host=sandbox.url).oauth.tokens_api
        asked = {"grant_type": "refresh_token", "client_id": "app", "refresh_token": "refresh-0"}
        tokens = api.create(**asked, client_secret="s3cret")
        page = Client.create(access_token=tokens.access_token, host=sandbox.url).crm.contacts.basic_api.get_page()
        with pytest.raises(Exception, match="invalid_client"):
            api.create(**asked, client_secret="wrong")

    assert (tokens.refresh_token, tokens.expires_in, page.results) == ("refresh-0", 1_800, [])


@pytest.mark.skipif(
    not descriptions("hubspot-oauth-*.json"),
    reason="HubSpot's API descriptions are not here: tests/connectors/sandbox/description.py",
)
@pytest.mark.parametrize("grant", ["refresh_token", "client_credentials"])
def test_tokens_are_as_hubspot_describes_them(grant: str) -> None:
    """What the sandbox answers at the address that the manifest asks."""
    vendor = SandboxHubSpot(Faults())
    body = f"grant_type={grant}&client_id=app&client_secret=s3cret&refresh_token=refresh-0".encode()
    form = "application/x-www-form-urlencoded"
    call = Call(1, "POST", "/oauth/2026-03/token", {}, form, "", body, now=0.0, at=0.0)
    answer = vendor.perform(call, [])

    assert list(Description(descriptions("hubspot-oauth-*.json")).mistakes(call, answer)) == []
    assert json.loads(answer.body)["token_use"] == {"refresh_token": "access_token"}.get(grant, grant)
