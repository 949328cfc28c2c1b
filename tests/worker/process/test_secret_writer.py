"""A secret that the vendor replaced outlives this process, whatever becomes of the store meanwhile."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from structlog.testing import capture_logs

from connectors.connections.store import Connection, Connections
from tests.tools.one_process_profile import KEY, Bench
from topics.errors import StoreUnavailable
from topics.store import open_store
from worker.clock import FakeClock
from worker.process.secret_writer import SecretWriter


class Flaky(Connections):
    """A store that is away for the first calls."""

    def __init__(self, *arguments: Any, away: int) -> None:
        super().__init__(*arguments)
        self.away = away

    def keep_secret(self, connection: Connection, name: str, value: str) -> None:
        self.away -= 1
        if self.away >= 0:
            raise StoreUnavailable("the store is away")
        super().keep_secret(connection, name, value)


async def _until_kept(secret_writer: SecretWriter, clock: FakeClock) -> None:
    while secret_writer._tasks:
        await asyncio.sleep(0)
        clock.advance(30.0)


async def test_it_is_kept_in_order_and_is_no_change(tmp_path: Path) -> None:
    """The last one counts though the store was away; the revision stays, so that nobody opens the connection anew."""
    store = open_store(f"sqlite:///{tmp_path / 'store.db'}")
    connections = Flaky(store, KEY, away=3)
    made = connections.add("acme", "acme", secrets={"refresh_token": "old", "client_secret": "s"})
    clock = FakeClock()
    secret_writer = SecretWriter(connections, clock)
    with capture_logs() as logs:
        secret_writer.keep(made, "refresh_token", "new")
        secret_writer.keep(made, "refresh_token", "newest")
        await _until_kept(secret_writer, clock)

    assert connections.secrets(made) == {"refresh_token": "newest", "client_secret": "s"}
    assert connections.get("acme").revision == made.revision
    assert [log["event"] for log in logs] == ["secret.not_kept"] * 3 + ["secret.kept"] * 2
    assert "new" not in str(logs)
    store.dispose()


async def test_what_can_never_be_kept_is_told(tmp_path: Path) -> None:
    """Without a key to encrypt it, or a connection to keep it for, it is told once and not tried for ever."""
    store = open_store(f"sqlite:///{tmp_path / 'store.db'}")
    connections = Connections(store)
    made = connections.add("acme", "acme", secrets={"refresh_token": "env:TOKEN"})
    secret_writer = SecretWriter(connections, FakeClock())
    with capture_logs() as logs:
        secret_writer.keep(made, "refresh_token", "secret-value")
        await secret_writer.close(5)

    assert [(log["event"], log["log_level"]) for log in logs] == [("secret.not_kept", "error")]
    assert "secret-value" not in str(logs)
    store.dispose()


async def test_a_connection_that_is_down_takes_another_workers_secrets(bench: Bench) -> None:
    """The vendor gave another worker a new token, and refuses ours: the store has the new one."""
    from connectors.contract import Down  # noqa: PLC0415

    saas = bench.connect(secrets={"refresh_token": "old"})
    saas.answer, saas.state = lambda _: Down("invalid_grant"), Down("invalid_grant")
    async with bench.working() as worker:
        bench.emit(*_events(1))
        await bench.eventually(lambda: worker._router.intakes and _intake(worker).dispatcher)
        await bench.eventually(lambda: _breaker(worker) == "open")
        bench.connections.keep_secret(bench.connections.get("acme"), "refresh_token", "new")
        saas.answer, saas.state = type(saas)().answer, type(saas)().state
        worker._changes._secrets_at = 0.0
        await bench.eventually(lambda: saas.built == 2)
        await bench.eventually(lambda: bench.committed() == 1)

        assert _intake(worker).secrets == {"refresh_token": "new"}


def _intake(worker: Any) -> Any:
    return worker._router.intakes["acme"]


def _breaker(worker: Any) -> str:
    dispatcher = _intake(worker).dispatcher
    return str(dispatcher.destination.breaker.state) if dispatcher else ""


def _events(count: int) -> list[Any]:
    from tests.worker.samples import event  # noqa: PLC0415

    return [event(number) for number in range(count)]
