"""Two installations side by side on one log, each with a prefix and a store of its own, never see each other."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.acceptance import rig
from tests.kafka_broker import Broker
from tests.tools.forked import ForkedStage
from topics.event.event import Event
from topics.open import open_log
from worker.demo.stage import Stage

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]

PREFIXES = ("acme", "acme.eu")
"""One begins with the other."""
EVENTS = 30


@pytest.mark.parametrize("engine", rig.ENGINES)
def test_two_installations(engine: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Each delivers, lists, archives and replays its own events, and nothing of the other's."""
    log = _log(engine, tmp_path, request)
    with ExitStack() as stack:
        stages = [
            stack.enter_context(
                ForkedStage(tmp_path / prefix, log=log, env={"SANDBOX_TOKEN": "pat-test", "WRITEBACK_PREFIX": prefix})
            )
            for prefix in PREFIXES
        ]
        sandboxes = [stage.sandbox("--latency", "0.01") for stage in stages]
        for number, (stage, sandbox) in enumerate(zip(stages, sandboxes, strict=True)):
            rig.connect(stage, "hubspot", sandbox)
            stage.worker("up")
            rig.emit(stage, [*rig.upserts("hubspot", EVENTS, first=number * EVENTS), _undeliverable()])
        for stage in stages:
            rig.wait_done(stage)
        replayed = stages[1].writeback("dead-letters", "replay", "--all", "--yes").stdout
        rig.wait_done(stages[1])

        assert replayed == "1 replayed\n"
        assert [len(rig.letters(stage)) for stage in stages] == [1, 2]
        for number, (stage, sandbox) in enumerate(zip(stages, sandboxes, strict=True)):
            contacts = sandbox.state()["hubspot"]["records"]["contacts"].values()
            expected = [f"hubspot{each}@x.example" for each in range(number * EVENTS, (number + 1) * EVENTS)]
            assert sorted(contact["email"] for contact in contacts) == sorted(expected)
            assert len({result.id for result in stage.results()}) == EVENTS + 1
            assert not rig.said(stage, event="connection.unknown")
        assert _topics(stages[0]) == {
            f"acme.{name}" for name in ("events.hubspot", "refresh", "replies", "results", "dead-letter")
        }
        assert "acme.eu" not in stages[0].writeback("doctor", codes=(0, 1)).stdout


def _log(engine: str, folder: Path, request: pytest.FixtureRequest) -> str:
    if engine == "sqlite":
        return f"sqlite:///{folder}/log.db"
    broker: Broker = request.getfixturevalue("kafka")
    log = open_log(f"kafka://{broker.bootstrap}")
    for topic in log.topics("acme."):
        log.delete_topic(topic)
    log.close()
    return f"kafka://{broker.bootstrap}"


def _undeliverable() -> Event:
    [event] = rig.upserts("hubspot", 1)
    return event.model_copy(update={"object": "planet"})


def _topics(stage: Stage) -> set[str]:
    rows = json.loads(stage.writeback("topics", "list", "--json").stdout)
    return {row["topic"] for row in rows}
