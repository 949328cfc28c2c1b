"""What was emitted reaches the log, however the script ends. Real processes; the log is looked into afterwards."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from connectors.connections.store import Connections
from topics.event.event import Event

Emitted = Callable[[str], list[Event]]
Script = Callable[[str], "subprocess.Popen[str]"]

EMIT = """
import os, signal, sys, threading
import pq
hubspot = pq.connect("Hubspot")
for number in range(500):
    hubspot.update("contact", id=number, phone="1")
"""
HANG = """
print("emitted", flush=True)
threading.Event().wait()
"""


@pytest.fixture
def script(connections: Connections, tmp_path: Path) -> Iterator[Script]:
    started: list[subprocess.Popen[str]] = []

    def start(text: str) -> subprocess.Popen[str]:
        path = tmp_path / "script.py"
        path.write_text(text)
        process = subprocess.Popen(
            [sys.executable, str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("ending", "code"),
    [
        ("", 0),
        ("raise ValueError('a bug of the script')", 1),
        ("sys.exit(7)", 7),
        ("threading.Thread(target=lambda: hubspot.update('contact', id=500)).start()", 0),
    ],
)
def test_a_script_that_ends_by_itself(script: Script, emitted: Emitted, ending: str, code: int) -> None:
    """Normal end, an exception, sys.exit, a thread still writing: all of it is in the log."""
    process = script(EMIT + ending)
    process.communicate(timeout=60)

    assert process.returncode == code
    assert len(emitted("hubspot")) == 500 + ("Thread" in ending)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, -signal.SIGINT), (signal.SIGTERM, 143)])
def test_a_script_that_is_stopped(script: Script, emitted: Emitted, number: signal.Signals, code: int) -> None:
    """Ctrl-C and SIGTERM flush too."""
    process = script(EMIT + HANG)
    assert process.stdout is not None
    assert process.stdout.readline() == "emitted\n"
    process.send_signal(number)
    process.communicate(timeout=60)

    assert process.returncode == code
    assert len(emitted("hubspot")) == 500


def test_a_handler_of_the_scripts_own_stays(script: Script) -> None:
    """Who handles SIGTERM himself goes on doing so."""
    process = script("import signal, os\nsignal.signal(signal.SIGTERM, lambda *_: os._exit(9))\n" + EMIT + HANG)
    assert process.stdout is not None
    process.stdout.readline()
    process.terminate()
    process.communicate(timeout=60)

    assert process.returncode == 9


@pytest.mark.parametrize(
    "fork",
    [
        """
child = os.fork()
if child == 0:
    hubspot.update("contact", id="child")
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
""",
        """
import multiprocessing
child = multiprocessing.get_context("fork").Process(target=lambda: hubspot.update("contact", id="child"))
child.start()
child.join()
assert child.exitcode == 0
""",
    ],
    ids=["fork", "multiprocessing"],
)
def test_a_fork_has_a_session_of_its_own(script: Script, emitted: Emitted, fork: str) -> None:
    """The child's events are flushed by the child, the parent's by the parent, each once."""
    process = script(EMIT + fork)
    _, errors = process.communicate(timeout=60)

    assert process.returncode == 0, errors
    ids = [event.fields["id"] for event in emitted("hubspot")]
    assert sorted(map(str, ids)) == sorted([*map(str, range(500)), "child"])


def test_what_cannot_be_flushed_is_told(script: Script) -> None:
    """A log that refuses is said on stderr at the end; nothing is lost in silence."""
    process = script(
        EMIT
        + """
from concurrent.futures import Future
from pq import _current
from topics.errors import LogUnavailable
class Broken:
    def flush(self, timeout=None):
        raise LogUnavailable("kafka://broker:9092 does not answer")
    def close(self, timeout=None): ...
_current.session().producer = Broken()
"""
    )
    _, errors = process.communicate(timeout=60)

    assert "not everything that was emitted has reached the log, some events may be lost" in errors
    assert "kafka://broker:9092 does not answer" in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize(("own", "kept"), [("700, 10, 10", "10000"), ("50000, 10, 10", "50000"), ("0, 10, 10", "0")])
def test_a_script_keeps_its_own_garbage_settings(script: Script, own: str, kept: str) -> None:
    """Collections become rarer with the first connection, unless the script has asked for fewer, or none."""
    process = script(f"import gc, pq\ngc.set_threshold({own})\npq.connect('Hubspot')\nprint(gc.get_threshold()[0])")
    said, _ = process.communicate(timeout=30)

    assert said.strip() == kept


def test_a_script_that_only_writes_loads_no_http_library(connections: Connections, tmp_path: Path) -> None:
    """What calls vendors, and what paints log events, is loaded by whoever does that: it takes a fifth of a second."""
    text = """
import sys
import pq
pq.connect("Hubspot").update("contact", id=1, phone="1")
pq.flush()
print(sorted({"aiohttp", "httpx", "rich", "structlog"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"
