"""A secret that the vendor replaced for one worker, and another worker that has the old one."""

from __future__ import annotations

from typing import Any

from connectors.connections.tokens import Turn
from tests.tools.one_process_profile import Bench


async def test_a_connection_that_is_down_takes_another_workers_secrets(bench: Bench) -> None:
    """The vendor gave another worker a new token, and refuses ours: the store has the new one."""
    from connectors.contract import Down  # noqa: PLC0415

    saas = bench.connect(secrets={"refresh_token": "old"})
    saas.answer, saas.state = lambda _: Down("invalid_grant"), Down("invalid_grant")
    async with bench.working() as worker:
        bench.emit(*_events(1))
        await bench.eventually(lambda: worker._router.intakes and _intake(worker).dispatcher)
        await bench.eventually(lambda: _breaker(worker) == "open")
        tokens = bench.connections.tokens(bench.connections.get("acme"), {"refresh_token": "old"})
        turn = tokens.take()
        assert isinstance(turn, Turn)
        tokens.keep(turn, "access", 60.0, {"refresh_token": "new"})
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
