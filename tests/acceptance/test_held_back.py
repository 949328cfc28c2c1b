"""A replay to a connection whose events do not go out now, on the real command line."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from connectors.connections.store import Connections
from dead_letter.letter.letter import encode
from tests.acceptance import rig
from tests.dead_letter.samples import a_letter
from tests.tools.forked import ForkedStage
from topics import names
from topics.log import Partition
from topics.store import open_store
from worker.demo.stage import Stage

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(240)]

ENDED_BY = {
    "paused": "writeback connections resume hubspot",
    "quarantined": "writeback connections resume hubspot",
    "down": "writeback connections resume hubspot",
}


@pytest.mark.parametrize("state", list(ENDED_BY))
def test_it_says_so_at_once_and_leaves_nothing_behind(state: str, tmp_path: Path) -> None:
    """It names the state and the command that ends it, in seconds, and puts nothing onto the topic."""
    with ForkedStage(tmp_path, env={"SANDBOX_TOKEN": "pat-test"}) as stage:
        stage.log.ensure_topics(names.DEFAULT.system_topics)
        rig.connect(stage, "hubspot", "http://127.0.0.1:9", "--on-dead", "park")
        with_letters = stage.log.producer(max_record_bytes=names.MAX_LETTER_BYTES)
        for offset in range(20):
            with_letters.send(names.DEFAULT.dead_letter, **encode(a_letter(offset))._asdict())
        with_letters.close(30.0)
        _bring_to(stage, state)
        place = Partition(names.DEFAULT.events_topic("hubspot"), 0)
        before = stage.log.end_offsets([place])
        began = time.monotonic()
        for _ in range(2):
            said = stage.writeback("dead-letters", "replay", "--all", "--yes", codes=(3,))
        took = time.monotonic() - began

        assert f"hubspot is {state}" in said.stdout
        assert ENDED_BY[state] in said.stdout
        assert "is a worker running?" not in said.stdout + said.stderr
        assert took < 2 * 30  # it was a minute each, on an idle machine as well
        assert stage.log.end_offsets([place]) == before


def _bring_to(stage: Stage, state: str) -> None:
    if state == "paused":
        stage.writeback("connections", "pause", "hubspot")
    elif state == "quarantined":
        store = open_store(stage._env["WRITEBACK_STORE"])
        Connections(store).set_state("hubspot", "quarantined", "more than half of the last 200 were refused")
        store.dispose()
    else:
        rig.emit(stage, rig.upserts("hubspot", 1))
        stage.worker()
        rig.wait_until(
            "the worker says that it is down",
            lambda: stage.json("connections", "list")[0]["status"]["state"] == "down",
            within=120,
        )
