"""Tokens that are fetched, shared, renewed and rotated."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs

import pytest

from connectors.contract import Delivered, Down, Throttled
from connectors.engine.runner.runner import HttpConnector
from connectors.registry import manifest
from tests.conformance.vendor import Told, Vendor
from topics.event.event import Event, Operation

GOOD = Told(200, b'{"id": "1"}')


def token(value: str, **more: Any) -> Told:
    return Told(200, json.dumps({"access_token": value, "expires_in": 1_800, **more}).encode())


@pytest.fixture
async def vendor() -> AsyncIterator[Vendor]:
    async with Vendor(GOOD) as vendor:
        yield vendor


def made(vendor: Vendor, **secrets: str) -> HttpConnector:
    return HttpConnector(
        manifest("hubspot"),
        {"base_url": vendor.url, "allow_private_addresses": True, "client_id": "me"},
        {"client_secret": "s3cret", **secrets},
    )


def event(number: int = 1) -> Event:
    return Event(operation=Operation.UPDATE, connection="h", object="contact", fields={"id": number, "name": "x"})


def paths(vendor: Vendor) -> list[str]:
    return [
        "token" if request.path.startswith("/oauth") else request.headers["authorization"]
        for request in vendor.received
    ]


async def test_one_token_for_many_calls(vendor: Vendor) -> None:
    """However many calls start at once, one token is fetched, with the grant's form."""
    vendor.script = [token("one-token")]
    hubspot = made(vendor)
    await asyncio.gather(*(hubspot.deliver([event(number)]) for number in range(8)))
    await hubspot.close()

    assert paths(vendor) == ["token", *["Bearer one-token"] * 8]
    assert parse_qs(vendor.received[0].body.decode()) == {
        "grant_type": ["client_credentials"],
        "client_id": ["me"],
        "client_secret": ["s3cret"],
    }


async def test_a_refused_token_is_renewed_once(vendor: Vendor) -> None:
    """A 401 fetches a new token and asks again; a second 401 is Down."""
    hubspot = made(vendor)
    vendor.script = [token("token-1"), Told(401), token("token-2"), GOOD, Told(401), token("token-3"), Told(401)]
    (first,) = await hubspot.deliver([event()])
    (second,) = await hubspot.deliver([event()])
    await hubspot.close()

    assert isinstance(first, Delivered)
    assert isinstance(second, Down)
    assert paths(vendor) == [
        "token",
        "Bearer token-1",
        "token",
        "Bearer token-2",
        "Bearer token-2",
        "token",
        "Bearer token-3",
    ]


async def test_a_rotated_refresh_token_is_used(vendor: Vendor) -> None:
    """A vendor that replaces the refresh token is believed."""
    hubspot = made(vendor, refresh_token="old-refresh")
    vendor.script = [token("token-1", refresh_token="new-refresh"), Told(401), token("token-2"), GOOD]
    await hubspot.deliver([event()])
    await hubspot.close()
    forms = [parse_qs(request.body.decode()) for request in vendor.received if request.path.startswith("/oauth")]

    assert [form["refresh_token"] for form in forms] == [["old-refresh"], ["new-refresh"]]


@pytest.mark.parametrize(
    ("told", "verdict"),
    [
        (Told(400, b'{"error": "invalid_grant", "error_description": "s3cret is wrong"}'), Down),
        (Told(503), Down),
        (Told(200, b"<html>"), Down),
        (Told(behaviour="reset_read"), Down),
        (Told(429, headers=(("Retry-After", "9"),)), Throttled),
    ],
)
async def test_no_token(vendor: Vendor, told: Told, verdict: type) -> None:
    """Without a token nothing is sent and no record is to blame; the reason holds no secret."""
    hubspot = made(vendor)
    vendor.told = told
    (answer,) = await hubspot.deliver([event()])
    probe = await hubspot.probe()
    await hubspot.close()

    assert (type(answer), type(probe)) == (verdict, verdict)
    assert "s3cret" not in repr(answer)
    assert {request.path for request in vendor.received} == {"/oauth/2026-03/token"}
