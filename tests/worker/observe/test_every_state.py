"""Every state that a connection can have, caused in a real worker, and looked at in every place that shows it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Future
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from connectors.cli.commands import connections as connections_command
from connectors.connections.standing import Standing
from connectors.contract import Down, Throttled
from pq._pending import why_pending
from tests.tools.one_process_profile import Bench
from tests.worker.observe.test_metrics import samples
from tests.worker.samples import PARTITION, event
from topics import names
from topics.cli.console import run
from topics.cli.context import CommandContext
from topics.log import Position
from topics.settings import load_settings
from worker.observe.doctor import examine
from worker.observe.endpoints import MetricsServer
from worker.worker import Worker

Cause = Callable[[Bench], Awaitable[None]]


@asynccontextmanager
async def standing_by(bench: Bench) -> AsyncIterator[None]:
    """Another process has the log."""

    class Other:
        def assigned(self, commits: object) -> None: ...

        async def revoked(self, partitions: object) -> dict[Any, Any]:
            return {}

        def lost(self, partitions: object) -> None: ...

        def unreadable(self, found: object) -> None: ...

    consumer = bench.log.consumer(names.DEFAULT.worker_group, pattern=names.DEFAULT.events_pattern, rebalance=Other())
    await consumer.start()
    while not await consumer.poll(1.0):
        pass
    yield
    await consumer.close()


async def be_active(bench: Bench) -> None:
    await bench.eventually(lambda: bench.committed() == 1)


async def be_paused(bench: Bench) -> None:
    bench.connections.set_state("acme", "paused", "lunch")


async def be_quarantined(bench: Bench) -> None:
    bench.connections.set_state("acme", "quarantined", "more than half of the last 200 events were rejected")


async def be_down(bench: Bench) -> None:
    bench.saas["acme"].answer = lambda _: Down("HTTP 401", after=60.0)


async def be_half_open(bench: Bench) -> None:
    """The probe is answered, and the one call that may then be made hangs."""
    saas = bench.saas["acme"]
    saas.answer = lambda _: Down("HTTP 503")
    await bench.eventually(lambda: saas.seen)
    saas.open.clear()


async def be_throttled(bench: Bench) -> None:
    bench.saas["acme"].answer = lambda _: Throttled(3_600.0, "DAILY")


async def be_held(bench: Bench) -> None:
    bench.connections.update("acme", policy={"on_dead": "bogus"})


async def be_waiting(bench: Bench) -> None:
    """A call that hangs holds up the change of its connection, for as long as the grace period is."""
    bench.saas["acme"].open.clear()
    await bench.eventually(lambda: bench.saas["acme"].batches)
    bench.connections.update("acme", limits={"concurrency": 2})


async def have_nobody(_bench: Bench) -> None: ...


CAUSES: dict[str, Cause] = {
    "active": be_active,
    "paused": be_paused,
    "quarantined": be_quarantined,
    "down": be_down,
    "half-open": be_half_open,
    "throttled": be_throttled,
    "held": be_held,
    "waiting": be_waiting,
    "stand-by": have_nobody,
    "no worker": have_nobody,
}
OUTSIDE = {"stand-by", "no worker"}
"""No worker says these of a connection."""
TOLD_UNTIL = {"down", "throttled", "held"}


class Views:
    """What each place that shows states says of the connection."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(folder)
        self._urls = {name: f"sqlite:///{folder}/{name}.db" for name in ("log", "store")}
        self._capsys = capsys

    def context(self) -> CommandContext:
        return CommandContext(lambda: load_settings(**self._urls))

    def all(self, bench: Bench) -> list[str]:
        """The list as JSON is the last."""
        commands = ("list",), ("show", "acme"), ("list", "--json")
        listed, shown, as_json = (self.command(*arguments) for arguments in commands)
        return [listed, shown, self.doctor(), self.receipt(bench), as_json.splitlines()[-1]]

    def command(self, *arguments: str) -> str:
        self._capsys.readouterr()
        assert run(connections_command, self.context(), arguments) == 0
        return self._capsys.readouterr().out

    def doctor(self) -> str:
        with_doctor = self.context()
        found = list(examine(with_doctor))
        with_doctor.close()
        return "\n".join(f"{one.check}: {one.said}" for one in found)

    def receipt(self, bench: Bench) -> str:
        sent: Future[Position] = Future()
        sent.set_result(Position(PARTITION, 1))
        return why_pending(
            bench.log, bench.connections, names.DEFAULT.worker_group, bench.connections.get("acme").id, sent
        )


@asynccontextmanager
async def caused(bench: Bench, state: str) -> AsyncIterator[Worker | None]:
    """An event waits, and the connection is like that."""
    bench.connect()
    bench.emit(event(0))
    if state == "no worker":
        yield None
    elif state == "stand-by":
        async with standing_by(bench), bench.working() as worker:
            yield worker
    else:
        if state not in {"active", "half-open", "waiting"}:
            await CAUSES[state](bench)
        async with bench.working() as worker:
            if state in {"active", "half-open", "waiting"}:
                await CAUSES[state](bench)
            yield worker
            bench.saas["acme"].open.set()


@pytest.mark.parametrize("state", CAUSES)
async def test_a_state_is_the_same_everywhere(
    bench: Bench, state: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One word and one line: in list, show, doctor, metrics, the worker's endpoint and a pending receipt."""
    views = Views(tmp_path, capsys, monkeypatch)
    async with caused(bench, state) as worker:
        if worker is not None:
            await bench.eventually(lambda: _seen(bench, state))
        while True:
            standing = bench.connections.standings()["acme"]
            texts = await asyncio.to_thread(views.all, bench)
            if bench.connections.standings()["acme"] == standing:
                break  # else the next try of what is held or down has come meanwhile
        metrics = await samples(worker) if worker else {}
        endpoint = await _endpoint(worker) if worker else {}

    assert standing.state == state
    assert json.loads(texts.pop())[0]["status"] == standing.shown()
    assert (standing.until is not None) == (state in TOLD_UNTIL)
    for text in texts if state != "active" else texts[:2]:
        assert str(standing) in text
    if state not in OUTSIDE:
        assert _shown(standing, endpoint)
        assert [name for name, value in metrics.items() if "connection_state{" in name and value == 1] == [
            f"writeback_connection_state{{connection=acme,state={state}}}"
        ]
        assert ("writeback_connection_wait_seconds{connection=acme}" in metrics) == (state in TOLD_UNTIL)


def _seen(bench: Bench, state: str) -> bool:
    """An operator's word counts at once, a worker sees it a little later."""
    standing = bench.connections.standings()["acme"]
    return standing.state == state and (standing.since is not None or state in OUTSIDE)


async def _endpoint(worker: Worker) -> dict[str, Any]:
    async def none() -> list[Any]:
        return []

    async def fine() -> str:
        return ""

    server = MetricsServer(none, fine, worker.states)
    answer = await server.answer(b"GET /states HTTP/1.1\r\nHost: x\r\n\r\n")
    shown: dict[str, Any] = json.loads(answer.body)
    return shown


def _shown(standing: Standing, endpoint: dict[str, Any]) -> bool:
    (one,) = endpoint["connections"]
    same = {name: one[name] for name in ("state", "reason", "since", "advice")}
    until = one["until"] is not None and standing.until is not None and abs(one["until"] - standing.until) < 35.0
    return same | {"until": standing.until} == standing.shown() and (until or one["until"] is standing.until is None)
