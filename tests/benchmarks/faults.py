"""A table of contacts into the HubSpot sandbox, by a sync of ours and by drt-core: how long, and what faults leave.

What is delivered, and how often, is what the sandbox has carried out; what is told, what stands in the dead letters
or in drt's queue. After the run, whatever came of it, each has what its operator would do: the next run, and drt's
``retry``.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol
from urllib.request import urlopen
from zlib import crc32

from tests.benchmarks.figures import Figure, number
from tests.benchmarks.peer import CACHE, HERE, Peer, Unavailable
from tests.benchmarks.sizes import FULL, Sizes
from tests.benchmarks.stand import Stand
from tests.kafka_broker import ROOT
from tests.ports import free_port

CASE = "faults: a table into HubSpot"
DRT = Peer("drt-core 1.2.1", "drt", ("drt-core==1.2.1",), ("drt",), order=False)
LATENCY = 0.02
BATCH = 100
OUTAGE_S = 20
PATIENCE = 300.0
READY_S = 5.0
"""For ``writeback up`` to be there: a service that runs already."""
WRITEBACK = (sys.executable, "-m", "writeback")


@dataclass(frozen=True)
class Fault:
    """``refused``: one row in so many, anywhere. ``sandbox``: its options. ``kill``: kill -9 half-way.

    ``outage``: begins when three of ten batches are done. ``apart``: drt, too, asks HubSpot to answer each row of a
    batch for itself, with a 207; ours always does.
    """

    name: str
    refused: int = 0
    apart: bool = False
    sandbox: Sequence[str] = ()
    outage: bool = False
    kill: bool = False


FAULTS = (
    Fault("no fault"),
    Fault("1 % refused", refused=100),
    Fault("1 % refused, with a 207", refused=100, apart=True),
    Fault("10 % 429", sandbox=("--fail", "hubspot.throttled=0.1")),
    Fault(f"outage of {OUTAGE_S} s", outage=True),
    Fault("kill -9 half-way", kill=True),
)


@dataclass(frozen=True)
class Found:
    """Rows: ``lost`` are neither delivered nor told to anybody. ``seconds``: from the command to the last delivery."""

    seconds: float
    delivered: int
    told: int
    lost: int
    twice: int


@dataclass
class Place:
    """A folder with a table, and the sandbox that it goes to."""

    folder: Path
    url: str
    rows: int
    apart: bool = False
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)
    seen: list[dict[str, Any]] = field(default_factory=list)

    def written(self) -> list[dict[str, Any]]:
        """What the sandbox has carried out so far, a record each."""
        with urlopen(f"{self.url}/_sandbox/ledger?after={len(self.seen)}") as said:
            self.seen += json.load(said)
        return [one for one in self.seen if one["performed"] and one["unique"] and one["operation"] == "upsert"]

    def spawn(self, command: Sequence[str], env: Mapping[str, str]) -> subprocess.Popen[bytes]:
        with (self.folder / "out.log").open("ab") as log:
            process = subprocess.Popen(
                command, cwd=self.folder, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self.running.append(process)
        return process

    def call(self, command: Sequence[str], env: Mapping[str, str]) -> None:
        """Whatever it says: a run that could not send everything ends with a code of its own."""
        self.spawn(command, env).wait(PATIENCE)


class Contender(Protocol):
    """One of the two. ``start``: the process that sends. ``after``: until it ends, and what its operator then does."""

    name: str

    def prepare(self, place: Place) -> None: ...
    def start(self, place: Place) -> subprocess.Popen[bytes]: ...
    def after(self, place: Place, process: subprocess.Popen[bytes]) -> None: ...
    def told(self, place: Place) -> int: ...


class Ours:
    """The embedded log; ``writeback up`` delivers what the sync puts there."""

    name = "Writeback"

    def prepare(self, place: Place) -> None:
        self._call(
            place, "connections", "add", "hubspot", "--connector", "hubspot", "--secret", "access_token=t",
            "--set", f"base_url={place.url}", "--set", "allow_private_addresses=true",
        )  # fmt: skip
        to = ("--connection", "hubspot", "--object", "contact", "--map", "email=email,name=firstname")
        self._call(place, "syncs", "create", "contacts", "--table", "contacts", "--key", "id", *to)
        self._up = self._start(place)
        time.sleep(READY_S)

    def start(self, place: Place) -> subprocess.Popen[bytes]:
        self._call(place, "syncs", "run", "contacts")
        return self._up

    def _start(self, place: Place) -> subprocess.Popen[bytes]:
        return place.spawn([*WRITEBACK, "up"], self._env(place))

    def after(self, place: Place, process: subprocess.Popen[bytes]) -> None:
        if process.poll() is not None:
            self._start(place)
        for _ in range(2):
            self._call(place, "syncs", "run", "contacts", "--wait", "--timeout", "240")
            _until(lambda: not self._pending(place))

    def _pending(self, place: Place) -> int:
        said = self._asked(place, "syncs", "runs", "contacts", "--json")
        return sum(run["pending"] for run in json.loads(said))

    def told(self, place: Place) -> int:
        return len(json.loads(self._asked(place, "dead-letters", "list", "--limit", "10000", "--json")))

    def _asked(self, place: Place, *command: str) -> bytes:
        done = subprocess.run(
            [*WRITEBACK, *command], cwd=place.folder, env=self._env(place), capture_output=True, check=True
        )
        return done.stdout

    def _call(self, place: Place, *command: str) -> None:
        place.call([*WRITEBACK, *command], self._env(place))

    def _env(self, place: Place) -> dict[str, str]:
        return {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "WRITEBACK_LOG": f"sqlite:///{place.folder}/log.db",
            "WRITEBACK_STORE": f"sqlite:///{place.folder}/store.db",
            "WRITEBACK_WAREHOUSE": f"sqlite:///{place.folder}/people.db",
            "WRITEBACK_SECRET_KEY": "a long random text for the bench",
        }


class Drt:
    """``queue``: what failed is kept; off unless it is asked for, as drt comes."""

    def __init__(self, *, queue: bool) -> None:
        self.name = DRT.name if queue else f"{DRT.name}, queue off"
        self._queue = queue

    def prepare(self, place: Place) -> None:
        shutil.copy(HERE / "drt" / "drt_project.yml", place.folder)
        profile = f"bench:\n  type: sqlite\n  database: {place.folder}/people.db\n"
        sync = (HERE / "drt" / "faults.yml").read_text(encoding="utf-8").replace("URL", place.url)
        if place.apart:
            sync = sync.replace('{"id":', '{"objectWriteTraceId": "{{ row.id }}", "id":')
        if not self._queue:
            sync = sync.partition("  dlq:")[0]
        files = {
            ".drt/profiles.yml": profile,
            "syncs/contacts.yml": sync,
            "syncs/models/contacts.sql": "SELECT id, email, name FROM contacts\n",
        }
        for name, text in files.items():
            path = place.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

    def start(self, place: Place) -> subprocess.Popen[bytes]:
        return place.spawn(self._command("run"), self._env(place))

    def after(self, place: Place, process: subprocess.Popen[bytes]) -> None:
        process.wait(PATIENCE)
        place.call(self._command("run"), self._env(place))
        place.call(self._command("retry", "contacts"), self._env(place))

    def told(self, place: Place) -> int:
        queue = place.folder / ".drt" / "dlq" / "contacts.jsonl"
        return len(queue.read_text(encoding="utf-8").splitlines()) if queue.exists() else 0

    def _command(self, *given: str) -> list[str]:
        return [str(CACHE / "drt" / "bin" / "drt"), *given]

    def _env(self, place: Place) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "HOME": str(place.folder), "HUBSPOT_TOKEN": "t"}


def figures(_stand: Stand | None, sizes: Sizes) -> Iterator[Figure]:
    contenders: list[Contender] = [Ours()]
    try:
        DRT.install()
        contenders += [Drt(queue=True), Drt(queue=False)]
    except (Unavailable, RuntimeError) as error:
        yield Figure(CASE, DRT.name, "not measured", "", (0.0,), note=str(error)[-120:])
    for fault in FAULTS:
        for contender in contenders:
            found = _measured(contender, fault, sizes.contacts)
            note = f"{found.told:,} told to somebody"
            of = f"{fault.name}, of {sizes.contacts:,}"
            ours = contender.name == Ours.name
            yield Figure(CASE, contender.name, f"{of}: command to last delivery", "s", (found.seconds,))
            yield Figure(CASE, contender.name, f"{of}: delivered", "", (float(found.delivered),), note=note)
            none = 0 if ours else None
            yield Figure(CASE, contender.name, f"{of}: lost", "", (float(found.lost),), at_most=none)
            yield Figure(CASE, contender.name, f"{of}: sent twice", "", (float(found.twice),))


def _measured(contender: Contender, fault: Fault, rows: int) -> Found:
    with tempfile.TemporaryDirectory(prefix="writeback-bench-") as folder, _sandbox(Path(folder), fault, rows) as url:
        place = Place(Path(folder), url, rows, fault.apart)
        _fill(place.folder / "people.db", rows, fault.refused)
        try:
            contender.prepare(place)
            began = time.monotonic()
            process = contender.start(place)
            if fault.kill:
                _until(lambda: len(place.written()) >= rows // 2 or process.poll() is not None)
                process.send_signal(signal.SIGKILL)
                process.wait()
            contender.after(place, process)
            return _reckoned(place.written(), contender.told(place), rows, began)
        finally:
            for each in place.running:
                each.kill()
                each.wait()


def _reckoned(written: Sequence[Mapping[str, Any]], told: int, rows: int, began: float) -> Found:
    """The sandbox's clock is the machine's monotonic one, as ``began`` is."""
    times = Counter(entry["unique"] for entry in written)
    first: dict[str, float] = {}
    for entry in written:
        first.setdefault(entry["unique"], entry["done"])
    twice = sum(count > 1 for count in times.values())
    return Found(max(first.values(), default=began) - began, len(times), told, max(0, rows - len(times) - told), twice)


def _answers(place: Place) -> bool:
    try:
        with urlopen(f"{place.url}/_sandbox/ledger?limit=1"):
            return True
    except OSError:
        return False


def _until(done: Any) -> None:
    deadline = time.monotonic() + PATIENCE
    while not done() and time.monotonic() < deadline:
        time.sleep(0.02)


@contextmanager
def _sandbox(folder: Path, fault: Fault, rows: int) -> Iterator[str]:
    port = free_port()
    command = [*WRITEBACK, "sandbox", "--port", str(port), "--latency", str(LATENCY)]
    if fault.outage:
        command += ["--outage-after", str(rows * 3 // (10 * BATCH)), "--outage-seconds", str(OUTAGE_S)]
    with (folder / "sandbox.log").open("wb") as log:
        process = subprocess.Popen([*command, *fault.sandbox], cwd=ROOT, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        _until(lambda: _answers(Place(folder, url, 0)))
        yield url
    finally:
        process.kill()
        process.wait()


def _fill(path: Path, rows: int, refused: int) -> None:
    def domain(n: int) -> str:
        return "refused.example" if refused and crc32(str(n).encode()) % refused == 0 else "acme.com"

    with closing(sqlite3.connect(path)) as base:
        base.execute("CREATE TABLE contacts (id INTEGER PRIMARY KEY, email TEXT, name TEXT)")
        values = ((n, f"u{n}@{domain(n)}", f"U{n}") for n in range(1, rows + 1))
        base.executemany("INSERT INTO contacts VALUES (?, ?, ?)", values)
        base.commit()


if __name__ == "__main__":
    for figure in figures(None, FULL if len(sys.argv) == 1 else replace(FULL, contacts=int(sys.argv[1]))):
        print(f"{figure.who}: {figure.what}: {number(figure.value)} {figure.unit} {figure.note}", flush=True)
