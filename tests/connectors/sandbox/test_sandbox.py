"""The sandbox's own promises: its faults, its ledger, its quota, and how it starts and stops."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from connectors.sandbox.call import Call
from connectors.sandbox.faults import Dice, Faults
from connectors.sandbox.outage import Outage
from connectors.sandbox.quota import Quota
from connectors.sandbox.server import Sandbox

CONTACTS = "/crm/v3/objects/contacts"


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    timeout = aiohttp.ClientTimeout(total=5)
    async with aiohttp.ClientSession(headers={"Authorization": "Bearer t"}, timeout=timeout) as session:
        yield session


async def create(http: aiohttp.ClientSession, url: str, email: str) -> int:
    async with http.post(url + CONTACTS, json={"properties": {"email": email}}) as answer:
        await answer.read()
        return answer.status


async def create_for_ever(http: aiohttp.ClientSession, url: str) -> None:
    for number in itertools.count():
        await create(http, url, f"p{number}@acme.com")


def call(email: str) -> Call:
    return Call(1, "POST", CONTACTS, {}, "application/json", "t", email.encode(), 0.0, 0.0)


def test_fates_follow_from_the_seed_not_from_the_order() -> None:
    """The same requests meet the same fates in any order; another seed deals others; shares come out as asked."""
    faults = Faults(throttled=0.2, dropped=0.1)
    calls = [call(f"p{number}@acme.com") for number in range(2_000)]

    def fates(seed: int, calls: list[Call]) -> dict[bytes, list[str]]:
        dice = Dice(seed, faults)
        dealt: dict[bytes, list[str]] = {}
        for asked in calls:
            fate = dice.fate(asked, reads=False)
            dealt.setdefault(asked.body, []).append(fate.kind if fate else "")
        return dealt

    first = fates(7, calls * 2)
    kinds = [kind for pair in first.values() for kind in pair]

    assert first == fates(7, list(reversed(calls)) * 2)
    assert first != fates(8, calls * 2)
    assert 0.17 < kinds.count("throttled") / len(kinds) < 0.23
    assert 0.08 < kinds.count("dropped") / len(kinds) < 0.12


def test_reads_are_spared_unless_asked() -> None:
    """Faults hit writes; reads and searches only with ``reads``."""
    faults = Faults(unavailable=1.0)

    assert Dice(1, faults).fate(call("x"), reads=True) is None
    assert Dice(1, faults.changed(reads=True)).fate(call("x"), reads=True) is not None


@pytest.mark.parametrize("wrong", [{"thrott1ed": 0.1}, {"throttled": 2}, {"hung": "x"}])
def test_a_wrong_fault_is_named(wrong: dict[str, Any]) -> None:
    """A fault that does not exist, or is no share, is refused by name."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Faults().changed(**wrong)


def test_the_quota_measures_the_busiest_window() -> None:
    """Two per second: the third within a second waits, and both the asked and the granted are measured."""
    quota = Quota(2, 1.0)
    waits = [quota.take(now) for now in (0.0, 0.5, 0.75, 1.0, 1.5)]

    assert waits == [0.0, 0.0, 0.25, 0.0, 0.0]
    assert (quota.busiest, quota.busiest_accepted, quota.refused) == (3, 2, 1)


@pytest.mark.parametrize("kind", ["dropped", "hung"])
@pytest.mark.parametrize("performed", [True, False])
async def test_a_lost_answer(http: aiohttp.ClientSession, kind: str, performed: bool) -> None:
    """The connection breaks, or no answer comes; the write is there or not, as the fault says, and the ledger knows."""
    async with Sandbox(latency=0) as sandbox:
        forced = {"forced": [{"kind": kind, "performed": performed}], "vendor": "hubspot"}
        async with http.post(f"{sandbox.url}/_sandbox/faults", json=forced) as answer:
            assert answer.status == 200
        with pytest.raises(TimeoutError if kind == "hung" else aiohttp.ClientConnectionError):
            await asyncio.wait_for(create(http, sandbox.url, "a@acme.com"), 0.3)
        again = await create(http, sandbox.url, "a@acme.com")

    assert again == (409 if performed else 201)
    assert [(e.outcome, e.performed) for e in sandbox.ledger.entries] == [
        (kind, performed),
        (str(again), not performed),
    ]


async def test_nothing_listens_during_an_outage(http: aiohttp.ClientSession) -> None:
    """After so many requests connections are refused for the given time; what was there before is there after it."""
    async with Sandbox(latency=0, outage=Outage(0.3, after_requests=2)) as sandbox:
        statuses = [await create(http, sandbox.url, f"{name}@acme.com") for name in "ab"]
        with pytest.raises(aiohttp.ClientConnectionError):
            await create_for_ever(http, sandbox.url)
        with pytest.raises(aiohttp.ClientConnectorError):
            await create(http, sandbox.url, "d@acme.com")
        await asyncio.sleep(0.4)
        again = await create(http, sandbox.url, "a@acme.com")

    assert (statuses, again) == ([201, 201], 409)
    assert len(sandbox.outages) == 1


async def test_an_outage_of_answers(http: aiohttp.ClientSession) -> None:
    """The other kind of outage answers 503 to everything, reads too."""
    async with Sandbox(latency=0, outage=Outage(60, at=0, kind="unavailable")) as sandbox:
        await asyncio.sleep(0.02)
        async with http.get(sandbox.url + CONTACTS) as answer:
            assert answer.status == 503
        assert await create(http, sandbox.url, "a@acme.com") == 503


async def test_the_ledger_tells_overlapping_requests(http: aiohttp.ClientSession) -> None:
    """Two requests under way at once overlap between ``received`` and ``answered``; latency is per request."""
    async with Sandbox(latency=0.1) as sandbox:
        await asyncio.gather(*(create(http, sandbox.url, f"{name}@acme.com") for name in "ab"))
        async with http.get(f"{sandbox.url}/_sandbox/ledger") as answer:
            first, second = await answer.json()

    assert first["received"] < second["received"] < first["answered"] < second["answered"]
    assert first["answered"] - first["received"] >= 0.1


async def test_the_state_and_the_journal(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    """The state has every record and message; the journal a line for each entry as soon as it is answered."""
    journal = tmp_path / "journal.jsonl"
    async with Sandbox(latency=0, journal=journal) as sandbox:
        await create(http, sandbox.url, "A@acme.com")
        await http.post(f"{sandbox.url}/api/chat.postMessage", json={"channel": "QA", "text": "hello"})
        lines = [json.loads(line) for line in journal.read_text().splitlines()]
        async with http.get(f"{sandbox.url}/_sandbox/state") as answer:
            state = await answer.json()

    assert [(line["unique"], line["outcome"]) for line in lines] == [("a@acme.com", "201"), ("QA", "ok")]
    assert [record["email"] for record in state["hubspot"]["records"]["contacts"].values()] == ["a@acme.com"]
    assert [message["text"] for message in state["slack"]["channels"]["qa"]] == ["hello"]
    assert state["requests"] == 2


async def test_the_search_lags_behind_the_writes(http: aiohttp.ClientSession) -> None:
    """A search right after a write does not see it: it is no check for doubles."""
    async with Sandbox(latency=0) as sandbox:
        await create(http, sandbox.url, "a@acme.com")
        async with http.post(f"{sandbox.url}{CONTACTS}/search", json={}) as answer:
            assert (await answer.json())["total"] == 0


async def test_a_wrong_order_to_the_sandbox_is_answered(http: aiohttp.ClientSession) -> None:
    """A control request that makes no sense is 400 and says why."""
    async with Sandbox(latency=0) as sandbox:
        async with http.post(f"{sandbox.url}/_sandbox/faults", json={"nonsense": 1}) as answer:
            assert (answer.status, "nonsense" in (await answer.json())["error"]) == (400, True)
        async with http.get(f"{sandbox.url}/_sandbox/elsewhere") as answer:
            assert answer.status == 404
