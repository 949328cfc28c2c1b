"""Reads and raw calls of scripts keep to the connection's limits, as writes do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from pydantic_core import from_json

from connectors.contract import Limits
from connectors.engine.runner import expected
from connectors.engine.runner.pace import Pace
from connectors.engine.runner.runner import HttpConnector
from connectors.errors import CallFailed
from connectors.registry import manifest
from tests.conformance.vendor import Told, Vendor

BUSY = Told(429, b'{"policyName": "TEN_SECONDLY_ROLLING"}')
JOHN = Told(200, b'{"id": "7", "properties": {}}')


@pytest.fixture
async def vendor() -> AsyncIterator[Vendor]:
    async with Vendor() as made:
        yield made


@pytest.fixture
async def waits() -> list[float]:
    return []


@pytest.fixture
async def hubspot(vendor: Vendor, waits: list[float]) -> AsyncIterator[HttpConnector]:
    """HubSpot at ten calls in a second; what it would sleep is written down."""
    settings = {"base_url": vendor.url, "allow_private_addresses": True}
    made = HttpConnector(manifest("hubspot"), settings, {"access_token": "token"}, {"rate": 10})

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    made.sender.pace = Pace(made.limits, sleep)
    yield made
    await made.close()


async def test_a_throttled_read_waits_and_asks_again(
    vendor: Vendor, hubspot: HttpConnector, waits: list[float]
) -> None:
    """The vendor's limit is no error of the script: its wait is kept, and the record comes."""
    vendor.script, vendor.told = [BUSY, BUSY], JOHN
    page = await hubspot.read("contact", {"id": 7})

    assert (page.detail, len(vendor.received)) == ([{"id": "7", "properties": {}}], 3)
    assert [wait for wait in waits if wait > 1] == [10.0, 10.0]


async def test_a_raw_call_does_so_too(vendor: Vendor, hubspot: HttpConnector) -> None:
    """A call that was throttled was not done, and may be made again."""
    vendor.script, vendor.told = [BUSY], Told(200, b'{"ok": 1}')

    assert (await hubspot.call("/x", method="post", body={})).detail == {"ok": 1}


async def test_a_wait_that_is_too_long_ends_with_the_vendors_words(vendor: Vendor, hubspot: HttpConnector) -> None:
    """A daily limit is said and not waited for; an error is no absence."""
    vendor.told = Told(429, b'{"policyName": "DAILY", "message": "daily limit"}')
    with pytest.raises(CallFailed, match="daily limit"):
        await hubspot.read("contact", {"id": 7})


async def test_reads_go_at_the_connections_pace(vendor: Vendor, hubspot: HttpConnector, waits: list[float]) -> None:
    """Ten calls a second leave four to reads; side by side each has a moment of its own."""
    vendor.told = JOHN
    await asyncio.gather(*(hubspot.read("contact", {"id": 7}) for _ in range(4)))

    assert sorted(waits) == pytest.approx([0.25, 0.5, 0.75], abs=0.1)


async def test_no_more_at_once_than_the_connection_allows() -> None:
    """The third of three waits until one has ended, where two are allowed."""
    pace, inside, most = Pace(Limits(concurrency=2)), 0, 0

    async def read() -> None:
        nonlocal inside, most
        async with pace.at_once:
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(read() for _ in range(5)))

    assert most == 2


async def test_an_answer_is_parsed_once(
    vendor: Vendor, hubspot: HttpConnector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it asks to wait and what it holds is read from the same JSON: a page may have megabytes."""
    parsed: list[bytes] = []

    def counted(body: bytes) -> object:
        parsed.append(body)
        return from_json(body)

    monkeypatch.setattr(expected, "from_json", counted)
    vendor.told = JOHN
    await hubspot.read("contact", {"id": 7})

    assert parsed == [JOHN.body]
