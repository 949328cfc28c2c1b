"""Workers that share one account of a vendor which ends a refresh token with its use."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from connectors.connections.store import Connection, Connections
from connectors.connections.tokens import ConnectionTokens, Listener, Turn
from connectors.contract import Delivered, Down
from connectors.engine.auth import shared_fetch
from connectors.engine.runner.runner import HttpConnector
from connectors.registry import manifest
from tests.conformance.vendor import Told, Vendor
from tests.connectors.engine.auth.test_token import GOOD, event, token
from topics.errors import StoreUnavailable
from topics.store import open_store
from worker.process.secret_log import SecretLog

SECRETS = {"client_secret": "s3cret", "refresh_token": "refresh-0"}


class Company:
    """Any number of workers of one connection, and the vendor."""

    def __init__(self, vendor: Vendor, store: str) -> None:
        self.vendor = vendor
        self.engine = open_store(store)
        self.connections = Connections(self.engine, "a long random text for tests")
        settings = {"base_url": vendor.url, "allow_private_addresses": True, "client_id": "me"}
        self.made: Connection = self.connections.add("My CRM", "hubspot", settings=settings, secrets=SECRETS)
        self.workers: list[HttpConnector] = []

    def tokens(self, listener: Listener | None = None) -> ConnectionTokens:
        return self.connections.tokens(self.made, self.connections.secrets(self.made), listener)

    def worker(self, tokens: ConnectionTokens | None = None) -> HttpConnector:
        secrets = self.connections.secrets(self.made)
        made = HttpConnector(manifest("hubspot"), self.made.settings, secrets, tokens=tokens or self.tokens())
        self.workers.append(made)
        return made

    @property
    def asked(self) -> int:
        """How often a token was asked for."""
        return sum(request.path.startswith("/oauth") for request in self.vendor.received)

    @property
    def refresh_token(self) -> str:
        return self.connections.secrets(self.made)["refresh_token"]


@pytest.fixture
async def company(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Company]:
    monkeypatch.setattr(shared_fetch, "POLL", 0.01)
    async with Vendor(GOOD) as vendor:
        company = Company(vendor, f"sqlite:///{tmp_path}/store.db")
        yield company
        for worker in company.workers:
            await worker.close()
        company.engine.dispose()


async def test_workers_refresh_once(company: Company) -> None:
    """Eight start at once: one token is fetched, all use it, and the new refresh token is in the store."""
    company.vendor.script = [token("access-1", refresh_token="refresh-1")]
    workers = [company.worker() for _ in range(8)]

    verdicts = await asyncio.gather(*(worker.deliver([event()]) for worker in workers))

    assert [type(one) for (one,) in verdicts] == [Delivered] * 8
    assert company.asked == 1
    assert company.refresh_token == "refresh-1"


async def test_a_token_refused_by_all_is_renewed_once(company: Company) -> None:
    """The vendor ends the access token early: the first that hears it renews, the second takes that one over."""
    company.vendor.script = [token("access-1", refresh_token="refresh-1"), GOOD, GOOD]
    one, two = company.worker(), company.worker()
    for worker in (one, two):
        await worker.deliver([event()])
    company.vendor.script = [Told(401), token("access-2", refresh_token="refresh-2"), GOOD, Told(401), GOOD]

    verdicts = [*await one.deliver([event()]), *await two.deliver([event()])]

    assert [type(verdict) for verdict in verdicts] == [Delivered, Delivered]
    assert company.asked == 2
    assert company.refresh_token == "refresh-2"


async def test_a_token_of_somebody_else_is_taken_over(company: Company) -> None:
    """The store has another refresh token than the one this worker was opened with."""
    worker = company.worker()
    other = company.tokens()
    turn = other.take()
    assert isinstance(turn, Turn)
    other.keep(turn, "access-1", 0.0, {"refresh_token": "refresh-1"})
    company.vendor.script = [token("access-2")]

    (verdict,) = await worker.deliver([event()])

    assert isinstance(verdict, Delivered)
    assert b"refresh_token=refresh-1" in company.vendor.received[0].body


async def test_a_token_that_was_just_used_by_another_is_tried_again(company: Company) -> None:
    """The vendor says invalid_grant to the old token, and by then the store has the new one."""

    class Overtaken(ConnectionTokens):
        def release(self, turn: Turn) -> None:
            super().release(turn)
            other = company.tokens()
            taken = other.take()
            if isinstance(taken, Turn) and company.refresh_token == "refresh-0":
                other.keep(taken, "access-1", 0.0, {"refresh_token": "refresh-1"})

    mine = company.tokens()
    mine.__class__ = Overtaken
    company.vendor.script = [Told(400, b'{"error": "invalid_grant"}'), token("access-2", refresh_token="refresh-2")]

    (verdict,) = await company.worker(mine).deliver([event()])

    assert isinstance(verdict, Delivered)
    assert company.refresh_token == "refresh-2"


async def test_a_revoked_token_says_which_command_mends_it(company: Company) -> None:
    """It is asked for once, the connection is down, and the reason is a sentence with a command to paste."""
    company.vendor.told = Told(400, b'{"error": "invalid_grant", "error_description": "token revoked"}')

    (verdict,) = await company.worker().deliver([event()])

    assert isinstance(verdict, Down)
    assert verdict.reason == (
        "the refresh token has expired or was revoked: `writeback connections authorize 'My CRM'` "
        "gets a new one (HTTP 400: invalid_grant: token revoked)"
    )
    assert company.asked == 1


async def test_a_cancelled_call_loses_no_token(company: Company) -> None:
    """The vendor has ended the old refresh token by the time the call is cancelled: what it answers is kept."""
    worker = company.worker()
    company.vendor.script = [token("access-1", refresh_token="refresh-1")]
    call = asyncio.create_task(worker.deliver([event()]))
    await company.vendor.arrived.wait()
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)

    await worker.close()

    assert company.refresh_token == "refresh-1"


async def test_the_store_is_away_when_the_token_comes(company: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    """The token is used; the new refresh token is in the store as soon as that answers, and a stop waits for it."""
    away = 2

    class Flaky(ConnectionTokens):
        def keep(self, *arguments: Any) -> None:
            nonlocal away
            away -= 1
            if away >= 0:
                raise StoreUnavailable("the store is away")
            super().keep(*arguments)

    mine = company.tokens(SecretLog())
    mine.__class__ = Flaky
    company.vendor.script = [token("access-1", refresh_token="refresh-1")]
    sleep = asyncio.sleep
    monkeypatch.setattr("connectors.engine.auth.shared_fetch.asyncio.sleep", lambda _: sleep(0))
    with capture_logs() as logs:
        worker = company.worker(mine)
        (verdict,) = await worker.deliver([event()])
        await worker.close()

    assert isinstance(verdict, Delivered)
    assert company.refresh_token == "refresh-1"
    assert [log["event"] for log in logs] == ["secret.not_kept"] * 2 + ["secret.kept"]
    assert "refresh-1" not in str(logs)


@pytest.mark.parametrize(("secrets", "verdict"), [({}, Down), ({"refresh_token": None}, Delivered)])
async def test_the_store_is_away(company: Company, secrets: dict[str, None], verdict: type) -> None:
    """A refresh token is used by nobody who cannot know that no other uses it; a client's own secret may be."""

    class Away(ConnectionTokens):
        def take(self, *_: Any) -> Any:
            raise StoreUnavailable("the store is away")

    company.made = company.connections.update(company.made.id, secrets=secrets)
    mine = company.tokens()
    mine.__class__ = Away
    company.vendor.script = [token("access-1")] if secrets else []

    (answer,) = await company.worker(mine).deliver([event()])

    assert type(answer) is verdict


async def test_a_stop_does_not_wait_for_the_turn_of_another(company: Company) -> None:
    """Another worker is fetching a token: one that stops waits for nobody, and begins no fetch while it goes."""
    turn = company.tokens().take()
    assert isinstance(turn, Turn)
    worker = company.worker()
    call = asyncio.create_task(worker.deliver([event()]))
    await asyncio.sleep(0.05)

    async with asyncio.timeout(5):
        await worker.close()
    (verdict,) = await call

    assert isinstance(verdict, Down)
    assert company.asked == 0


async def test_a_turn_that_comes_while_a_worker_stops_is_given_back(company: Company) -> None:
    """No fetch is begun by a worker whose sockets are about to be closed: another worker has the turn at once."""
    mine = company.tokens()

    class Slow(ConnectionTokens):
        def take(self, *arguments: Any) -> Any:
            found = super().take(*arguments)
            taken.set()
            stopped.wait(5)
            return found

    taken, stopped = threading.Event(), threading.Event()
    mine.__class__ = Slow
    worker = company.worker(mine)
    call = asyncio.create_task(worker.deliver([event()]))
    await asyncio.to_thread(taken.wait, 5)
    closing = asyncio.create_task(worker.close())
    await asyncio.sleep(0)
    stopped.set()
    await closing
    (verdict,) = await call

    assert isinstance(verdict, Down)
    assert company.asked == 0
    assert isinstance(company.tokens().take(), Turn)
