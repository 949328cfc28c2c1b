"""What happens around the one file of the embedded log: it goes away, or a second process waits for its turn."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.acceptance import rig

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(180)]

SECONDS = 15.0
"""On a busy machine; on a quiet one it takes less than one."""


@pytest.mark.parametrize("replaced", [False, True], ids=["deleted", "replaced"])
def test_up_stops_when_its_log_is_gone(replaced: bool, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Within seconds, with one line that says what happened and what to do, and exit code 1; no traceback."""
    with rig.stage_on("sqlite", tmp_path, request) as stage:
        crm = stage.sandbox("--latency", "0.01")
        rig.connect(stage, "hubspot", crm)
        worker = stage.worker("up")
        rig.emit(stage, rig.upserts("hubspot", 5))
        rig.wait_done(stage)
        log = Path(stage.log_url.removeprefix("sqlite:///"))
        if replaced:
            (log.parent / "other.db").write_bytes(b"")
            (log.parent / "other.db").replace(log)
        else:
            log.unlink()

        assert worker.wait(SECONDS) == 1
        [line] = [
            line for line in (stage.folder / "worker.log").read_text().splitlines() if line.startswith("writeback:")
        ]
        assert f"the log {log} was {'replaced by another file' if replaced else 'deleted'} while" in line
        assert "start again" in line
        rig.no_traceback(stage)


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
def test_a_second_up_says_that_it_stands_by(end: int, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """It names the process whose turn it is and when it takes over, and says so when it does."""
    with rig.stage_on("sqlite", tmp_path, request) as stage:
        crm = stage.sandbox("--latency", "0.01")
        rig.connect(stage, "hubspot", crm)
        first = stage.worker("up", name="first")
        rig.wait_until("the first works", lambda: bool(rig.said(stage, "first", event="partition.assigned")), within=30)
        second = stage.worker("up", name="second")
        group = stage.log.names.worker_group

        def said(event: str) -> list[dict[str, object]]:
            return rig.said(stage, "second", event=event, group=group)

        rig.wait_until("the second stands by", lambda: bool(said("lease.standing_by")), within=30)
        [waiting] = said("lease.standing_by")
        took_over = said("lease.taken_over")
        first.send_signal(end)
        rig.wait_until("the second takes over", lambda: bool(said("lease.taken_over")), within=30)
        rig.emit(stage, rig.upserts("hubspot", 5))
        rig.wait_done(stage)
        stage.stop(second)

        assert waiting["process"] == str(first.pid)
        assert waiting["takes_over"] == "at once when that process stops, 3 s after it has died"
        assert took_over == []
        assert len(crm.state()["hubspot"]["records"]["contacts"]) == 5
