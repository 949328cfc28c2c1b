"""``writeback worker --processes``: a worker that dies is started again, and all stop in good order."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from tests.acceptance import rig
from tests.ports import free_port
from topics import names
from worker.demo.stage import WRITEBACK, Stage

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]

COUNTS = {"sqlite": 1, "kafka": 2}
"""The embedded log is one worker's at a time."""


def supervise(stage: Stage, engine: str, *options: str, **env: str) -> subprocess.Popen[bytes]:
    return stage.start(*WRITEBACK, "worker", "--processes", str(COUNTS[engine]), *options, name="worker", **env)


def told(stage: Stage, event: str) -> list[dict[str, Any]]:
    """What the supervisor and its workers logged under that name."""
    lines = (stage.folder / "worker.log").read_text().splitlines()
    said = [json.loads(line) for line in lines if line.startswith("{")]
    return [one for one in said if one["event"] == event]


def alive(pids: list[int]) -> list[int]:
    return [pid for pid in pids if Path(f"/proc/{pid}").exists() and " Z " not in Path(f"/proc/{pid}/stat").read_text()]


def started(stage: Stage) -> list[int]:
    return [one["pid"] for one in told(stage, "process.started")]


@pytest.mark.parametrize("engine", rig.ENGINES)
def test_a_killed_worker_is_started_again(engine: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """kill -9 of its workers under load, one after the other, costs time and nothing else; SIGTERM leaves no orphan."""
    with rig.stage_on(engine, tmp_path, request) as stage:
        crm = stage.sandbox("--latency", "0.2", name="crm")
        rig.connect(stage, "hubspot", crm, "--rate", "8", "--concurrency", "4", "--partitions", "4")
        work = rig.days_work(11, 2_000, rig.existing_contacts(crm, 100))
        rig.emit(stage, work.events)
        supervisor = supervise(stage, engine)
        for kill in range(3):
            before = rig.left(stage)
            assert before, f"all done before kill {kill}: the work is too quick for this test"
            rig.wait_until("the workers move", lambda before=before: rig.left(stage) < before - 100, within=60)  # type: ignore[misc]
            os.kill(alive(started(stage))[-1], signal.SIGKILL)
        rig.wait_done(stage)
        pids = started(stage)
        code = stage.stop(supervisor)

        assert code == 0
        assert alive(pids) == []
        assert [one["code"] for one in told(stage, "process.ended")] == [128 + signal.SIGKILL] * 3
        assert len(pids) == COUNTS[engine] + 3
        rig.reckon(stage, work, crm)
        rig.no_traceback(stage)


@pytest.mark.parametrize("engine", rig.ENGINES)
def test_a_signal_under_load(engine: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """SIGTERM to the supervisor: calls under way finish, it ends with 0 in time, nobody is left; the next goes on."""
    with rig.stage_on(engine, tmp_path, request) as stage:
        crm = stage.sandbox("--latency", "0.4", name="crm")
        rig.connect(stage, "hubspot", crm, "--rate", "6", "--concurrency", "4", "--partitions", "2")
        work = rig.days_work(12, 1_000, rig.existing_contacts(crm, 50))
        rig.emit(stage, work.events)
        supervisor = supervise(stage, engine)
        rig.wait_until("the workers move", lambda: rig.left(stage) < 900, within=60)
        pids = started(stage)
        began = time.monotonic()
        code = stage.stop(supervisor, within=25)
        took = time.monotonic() - began
        orphans = alive(pids)
        second = supervise(stage, engine)
        rig.wait_done(stage)
        assert stage.stop(second) == 0

        assert code == 0
        assert took < 20
        assert orphans == []
        rig.reckon(stage, work, crm)
        rig.no_traceback(stage)


def test_workers_outlive_their_supervisor_only_to_stop(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """kill -9 of the supervisor: its workers stop by themselves, in good order."""
    with rig.stage_on("sqlite", tmp_path, request) as stage:
        supervisor = supervise(stage, "sqlite")
        rig.wait_until("a worker runs", lambda: bool(told(stage, "worker.started")), within=30)
        (pid,) = started(stage)
        supervisor.kill()
        supervisor.wait()
        rig.wait_until("the worker ends", lambda: not alive([pid]), within=20)

        assert [one["left"] for one in told(stage, "worker.stopped")] == [0]


def test_a_second_signal_ends_all_at_once(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """A call that takes for ever holds up the first signal; the second does not wait for it."""
    with rig.stage_on("sqlite", tmp_path, request) as stage:
        crm = stage.sandbox("--latency", "30", name="crm")
        rig.connect(stage, "hubspot", crm)
        rig.emit(stage, rig.days_work(13, 5, []).events)
        supervisor = supervise(stage, "sqlite")
        rig.wait_until("a call is under way", lambda: bool(told(stage, "connection.opened")), within=30)
        time.sleep(0.5)
        pids = started(stage)
        supervisor.send_signal(signal.SIGTERM)
        rig.wait_until("the worker stops", lambda: bool(told(stage, "worker.stopping")), within=10)
        assert supervisor.poll() is None
        code = stage.stop(supervisor, within=5)

        assert code == 128 + signal.SIGKILL
        assert alive(pids) == []


@pytest.mark.kafka
def test_each_has_a_name_and_a_port_of_its_own(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Static members get a number each, and the n-th worker serves its metrics on the n-th port."""
    port = two_free_ports()
    with rig.stage_on("kafka", tmp_path, request) as stage:
        supervisor = supervise(stage, "kafka", "--metrics-port", str(port), WRITEBACK_MEMBER="blue")
        for number in range(2):
            rig.wait_until("the worker is ready", lambda number=number: ready(port + number), within=60)  # type: ignore[misc]
        members = stage.log._ask(lambda admin: admin.describe_groups([names.DEFAULT.worker_group]))  # type: ignore[attr-defined]
        assert stage.stop(supervisor) == 0

        assert {each["group_instance_id"] for each in members[names.DEFAULT.worker_group]["members"]} == {
            "blue-0",
            "blue-1",
        }


@pytest.mark.kafka
def test_what_is_loaded_is_in_memory_once(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """The supervisor has loaded what its workers need, and nothing runs in it or is open that they would inherit."""
    with rig.stage_on("kafka", tmp_path, request) as stage:
        crm = stage.sandbox(name="crm")
        rig.connect(stage, "hubspot", crm, "--partitions", "4")
        work = rig.days_work(15, 100, [])
        rig.emit(stage, work.events)
        supervisor = supervise(stage, "kafka")
        rig.wait_done(stage)
        inherited = libraries(supervisor.pid)
        pids = started(stage)
        own = [libraries(pid) - inherited for pid in pids]
        threads = list(Path(f"/proc/{supervisor.pid}/task").iterdir())
        opened = [str(link.readlink()) for link in Path(f"/proc/{supervisor.pid}/fd").iterdir()]
        together = sum(kilobytes(pid, "Pss") for pid in (supervisor.pid, *pids))
        apart = sum(kilobytes(pid, "Rss") for pid in pids)
        assert stage.stop(supervisor) == 0

        print(f"{together / 1024:.0f} MB, of {apart / 1024:.0f} MB that two processes alone would take")
        assert any("_sqlite3" in path for path in inherited)
        assert own == [set(), set()]
        assert len(threads) == 1
        assert not [path for path in opened if path.startswith("socket:") or ".db" in path]
        assert together < apart


def libraries(pid: int) -> set[str]:
    """The shared libraries that a process has in its memory."""
    lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    return {line.split()[-1] for line in lines if ".so" in line}


def kilobytes(pid: int, what: str) -> int:
    """``Pss``: what is shared is counted in equal parts to those who share it."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(f"{what}:")).split()[1])


def two_free_ports() -> int:
    """The first of two that follow one another, below those that the system gives to whoever asks for any."""
    for port in range(21_000 + os.getpid() % 1_000, 30_000):
        try:
            with socket.create_server(("127.0.0.1", port)), socket.create_server(("127.0.0.1", port + 1)):
                return port
        except OSError:
            continue
    raise AssertionError("no two free ports")


def ready(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/readyz", timeout=3) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False


def test_the_embedded_log_is_one_workers(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """More than one process on the embedded log is refused, with what to do instead."""
    with rig.stage_on("sqlite", tmp_path, request) as stage:
        done = stage.writeback("worker", "--processes", "2", codes=[2])

    assert "WRITEBACK_LOG=kafka://" in done.stderr
    assert sys.executable not in done.stderr


def test_metrics_and_states_of_a_destination_that_is_down(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """An outage is seen in the metrics and told on the ledger, and so is its end."""
    port = free_port()
    with rig.stage_on("sqlite", tmp_path, request) as stage:
        crm = stage.sandbox(name="crm")
        rig.connect(stage, "hubspot", crm)
        work = rig.days_work(14, 40, [])
        crm.faults(outage={"seconds": 6, "kind": "unavailable"})
        worker = stage.start(*WRITEBACK, "worker", "--metrics-port", str(port), name="worker")
        rig.wait_until("the worker is ready", lambda: ready(port), within=30)
        rig.emit(stage, work.events)
        rig.wait_until("it is down", lambda: sample(port, DOWN) == 1, within=30)
        waited = sample(port, 'writeback_lag_records{connection="hubspot",partition="0"}')
        rig.wait_done(stage)
        rig.wait_until("it is up", lambda: sample(port, DOWN) == 0, within=30)
        delivered = [
            sample(port, f'writeback_events_total{{connection="hubspot",operation="{one}",outcome="delivered"}}')
            for one in ("add", "upsert", "update", "delete")
        ]
        stage.stop(worker)
        told_states = stage.writeback("results", "--states", "--json").stdout.splitlines()
        states = [json.loads(line)["state"] for line in told_states]

        assert waited == 40
        assert sum(delivered) == 40
        assert states[0] == "active"
        assert "down" in states
        assert states[-1] == "active"
        rig.reckon(stage, work, crm)


DOWN = 'writeback_connection_state{connection="hubspot",state="down"}'


def sample(port: int, name: str) -> float:
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    return next((float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name)), 0.0)
