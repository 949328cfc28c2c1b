"""One dead destination blocks only itself; a flood of refusals stops before it drains the topic."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance import rig
from tests.ports import free_port
from topics import names
from worker.demo.stage import Stage

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(180)]

EVENTS = 300
OUT = ("refused", "failing", "locked")
"""Nobody listens; every answer is 503; the credentials are wrong."""


@pytest.mark.parametrize("engine", rig.ENGINES)
def test_an_outage_is_waited_for(engine: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Three that are out, each in its way, hold up no fourth, lose, letter and spend nothing, and come back."""
    with rig.stage_on(engine, tmp_path, request) as stage:
        port = free_port()
        crm = stage.sandbox("--latency", "0.01", "--token", "pat-test", name="crm")
        failing = stage.sandbox("--latency", "0.01", "--fail", "unavailable=1", "--fail", "reads=true", name="failing")
        rig.connect(stage, "refused", f"http://127.0.0.1:{port}", connector="hubspot")
        rig.connect(stage, "failing", failing, connector="hubspot")
        rig.connect(stage, "locked", crm, connector="hubspot", token="pat-of-yesterday")
        rig.connect(stage, "well", crm, connector="hubspot")
        rig.emit(stage, [event for name in OUT for event in rig.upserts(name, EVENTS)])
        worker = stage.worker("worker")
        rig.wait_until("all three breakers are open", lambda: _opened(stage) == set(OUT), within=60)
        rig.emit(stage, rig.upserts("well", 2_000))
        rig.wait_done(stage, "well")
        held = {name: rig.left(stage, name) for name in OUT}
        spent = {name: _most_spent(stage, name) for name in OUT}

        back = stage.sandbox("--latency", "0.01", "--port", str(port), name="back")
        failing.faults(unavailable=0.0, reads=False)
        stage.writeback("connections", "set", "locked", "--secret", "access_token=env:SANDBOX_TOKEN")
        rig.wait_done(stage)
        stage.stop(worker)

        assert held == dict.fromkeys(OUT, EVENTS)
        assert spent["refused"] == spent["locked"] == 0
        assert spent["failing"] < 8  # a lone 503 may be the record's own; a score of them is an outage
        assert rig.letters(stage) == []
        assert len({result.id for result in stage.results() if result.outcome == "delivered"}) == 3 * EVENTS + 2_000
        assert [len(sandbox.state()["hubspot"]["records"]["contacts"]) for sandbox in (back, failing)] == [EVENTS] * 2
        rig.no_traceback(stage)


def _opened(stage: Stage) -> set[str]:
    return {line["connection"] for line in rig.said(stage, event="breaker.opened")}


def _most_spent(stage: Stage, slug: str) -> int:
    return max((tries.spent for tries in rig.memory(stage, slug).tries.values()), default=0)


def test_a_flood_of_refusals_is_stopped(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """A hundred letters and the calls under way, then nothing is drained, nor by a new worker, until `resume`."""
    with rig.stage_on("sqlite", tmp_path, request) as stage:
        crm = stage.sandbox("--latency", "0.01", "--fail", "refused_domains=x.example", name="crm")
        rig.connect(stage, "hubspot", crm, "--rate", "1000", "--concurrency", "2")
        rig.emit(stage, rig.upserts("hubspot", 2_000))
        worker = stage.worker("worker")
        rig.wait_until("it is quarantined", lambda: _state(stage) == "quarantined", within=60)
        stage.stop(worker)
        worker = stage.worker("worker", name="second")
        opened = {"event": "connection.opened", "state": "quarantined"}
        rig.wait_until("the next worker knows", lambda: bool(rig.said(stage, "second", **opened)), within=60)
        rig.emit(stage, rig.upserts("hubspot", 10, first=2_000))
        refused = crm.state()["requests"]
        letters = len(rig.letters(stage))
        drained = crm.state()["requests"] - refused
        crm.faults(refused_domains=[])
        stage.writeback("connections", "resume", "hubspot")
        rig.wait_done(stage)
        stage.stop(worker)
        outcomes = {result.id: result.outcome for result in stage.results()}

        assert drained == 0
        assert 100 < letters <= 400
        assert len(outcomes) == 2_010
        assert list(outcomes.values()).count("dead") == letters
        assert len(crm.state()["hubspot"]["records"]["contacts"]) == 2_010 - letters


def test_a_producer_that_goes_wrong_is_stopped(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """A hundred letters, then its topic waits, untouched by a new worker too; another connection is not held up."""
    with rig.stage_on("sqlite", tmp_path, request) as stage:
        crm = stage.sandbox("--latency", "0.01", name="crm")
        rig.connect(stage, "hubspot", crm, "--rate", "1000")
        rig.connect(stage, "other", crm, "--rate", "1000", connector="hubspot")
        wrong = stage.log.producer()
        for number in range(2_000):  # somebody's new release writes CSV
            wrong.send(names.DEFAULT.events_topic("hubspot"), key=None, value=f"{number};Ada;Lovelace".encode())
        wrong.close()
        rig.emit(stage, [*rig.upserts("hubspot", 50), *rig.upserts("other", 500)])
        worker = stage.worker("worker")
        rig.wait_until("it is quarantined", lambda: _state(stage) == "quarantined", within=60)
        rig.wait_done(stage, "other")
        stage.stop(worker)
        worker = stage.worker("worker", name="second")
        opened = {"event": "connection.opened", "state": "quarantined"}
        rig.wait_until("the next worker knows", lambda: bool(rig.said(stage, "second", **opened)), within=60)
        rig.emit(stage, rig.upserts("other", 500, first=500))
        rig.wait_done(stage, "other")
        letters, held = rig.letters(stage), rig.left(stage, "hubspot")
        reason = stage.json("connections", "show", "hubspot")["state_reason"]
        stage.stop(worker)

        assert len(letters) == 100
        assert held == 2_050 - 100
        assert {letter["verdict"] for letter in letters} == {"malformed"}
        assert "malformed or not for this connector" in reason
        rig.no_traceback(stage)
        rig.no_traceback(stage, "second")


def _state(stage: Stage) -> str:
    return str(stage.json("connections", "show", "hubspot")["state"])
