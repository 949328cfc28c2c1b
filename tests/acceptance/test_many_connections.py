"""As many connections as there are: half of them dead cost next to nothing, and hold up nobody."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest

from connectors.connections.store import Connections
from tests.acceptance import rig
from tests.acceptance.lean_server import answer, serving
from tests.ports import free_port
from topics import names
from topics.event import codec
from topics.event.event import Event, Operation
from topics.store import open_store
from worker.demo.stage import Stage
from worker.process.open_files import raise_limit

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(900)]

LONG = bool(os.environ.get("WRITEBACK_TEST_LONG"))
CONNECTIONS = int(os.environ.get("WRITEBACK_TEST_CONNECTIONS", "1000" if LONG else "100"))
BACKLOG = int(os.environ.get("WRITEBACK_TEST_BACKLOG", "300" if LONG else "100"))
PROBING = 60.0 if LONG else 8.0
"""Seconds for which the dead ones are watched."""
PAGE = os.sysconf("SC_PAGE_SIZE")
TICK = os.sysconf("SC_CLK_TCK")


class FarEnd:
    """Takes every request; ``PATCH /<connection>/<number>`` is counted."""

    def __init__(self) -> None:
        self.counts: defaultdict[str, bytearray] = defaultdict(lambda: bytearray(BACKLOG))

    def __call__(self, method: str, path: str, body: bytes) -> bytes:
        if method == "PATCH":
            _, slug, number = path.split("/")
            self.counts[slug][int(number)] += 1
        return answer()


def connect(stage: Stage, slugs: list[str], url: Callable[[str], str]) -> None:
    """Connections that take as many calls as they like."""
    store = open_store(stage._env["WRITEBACK_STORE"])
    connections = Connections(store, stage._env["WRITEBACK_SECRET_KEY"])
    for slug in slugs:
        settings = {"base_url": url(slug), "allow_private_addresses": True}
        connections.add(slug, "http", settings=settings, limits={"rate": None, "concurrency": 4})
    store.dispose()
    stage.log.ensure_topics([names.DEFAULT.events_spec(slug) for slug in slugs])


def emit(stage: Stage, slugs: list[str], count: int) -> None:
    producer = stage.log.producer()
    for number in range(count):
        for slug in slugs:
            event = Event(
                operation=Operation.UPDATE,
                connection=slug,
                object="record",
                key=str(number % 20),
                fields={"path": f"/{slug}/{number}", "body": {"text": "x" * 200}},
            )
            producer.send(names.DEFAULT.events_topic(slug), **codec.encode(event)._asdict())
    producer.flush()
    producer.close()


def resident(pid: int) -> float:
    """Megabytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE / 1e6


def cpu(pid: int) -> float:
    """Seconds."""
    user, system = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
    return (int(user) + int(system)) / TICK


@pytest.mark.parametrize("engine", rig.ENGINES)
def test_half_of_all_connections_are_dead(engine: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """The living are served, once each; the dead keep all they have; memory stays flat while they are probed."""
    raise_limit()  # ours: the destination has as many sockets as the worker
    far = FarEnd()
    slugs = [f"c{number}" for number in range(CONNECTIONS)]
    living, dead = slugs[::2], slugs[1::2]
    with rig.stage_on(engine, tmp_path, request) as stage, serving(far) as url:
        nobody = f"http://127.0.0.1:{free_port()}"
        connect(stage, slugs, lambda slug: nobody if slug in set(dead) else url)
        emit(stage, slugs, BACKLOG)
        started = time.monotonic()
        worker = stage.worker("worker", WRITEBACK_LOG_LEVEL="warning")
        pid = worker.pid
        rig.wait_until("the living are served", lambda: all(all(far.counts[slug]) for slug in living), within=600)
        seconds = time.monotonic() - started
        rig.wait_until("each dead one is known to be", lambda: _opened(stage) == set(dead), within=120)
        samples = _watch(pid)
        handles = len(list(Path(f"/proc/{pid}/fd").iterdir()))
        left = {slug: rig.left(stage, slug) for slug in (living[0], dead[0], dead[-1])}
        held = rig.left(stage)
        stage.stop(worker, within=60)

    first, last = samples["mb"][0], samples["mb"][-1]
    print(
        f"{engine}: {CONNECTIONS} connections, {BACKLOG} events each: {len(living) * BACKLOG / seconds:,.0f} events/s, "
        f"{first:.0f} MB, after {PROBING:.0f} s {last:.0f} MB (at most {max(samples['mb']):.0f}), {handles} files; "
        f"CPU while probing: {samples['cpu'][0]:.2f} s a second at first, {samples['cpu'][-1]:.2f} at last"
    )
    assert {slug: bytes(far.counts[slug]) for slug in living} == dict.fromkeys(living, b"\x01" * BACKLOG)
    assert left == {living[0]: 0, dead[0]: BACKLOG, dead[-1]: BACKLOG}
    assert held == len(dead) * BACKLOG
    assert rig.letters(stage) == []
    assert max(samples["mb"]) <= 1.1 * first
    assert handles <= 4 * len(living) + 100  # sockets kept open to the living, none to the dead
    rig.no_traceback(stage)


def _opened(stage: Stage) -> set[str]:
    return {line["connection"] for line in rig.said(stage, event="breaker.opened")}


def _watch(pid: int) -> dict[str, list[float]]:
    samples: dict[str, list[float]] = {"mb": [resident(pid)], "cpu": []}
    for _ in range(4):
        began, spent = time.monotonic(), cpu(pid)
        time.sleep(PROBING / 4)
        samples["cpu"].append((cpu(pid) - spent) / (time.monotonic() - began))
        samples["mb"].append(resident(pid))
    return samples
