"""Each vendor at its own quota: the sandbox enforces it, one worker that has a backlog for each."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from connectors import registry
from connectors.engine.runner.runner import HttpConnector
from tests.benchmarks.figures import Figure
from tests.benchmarks.sizes import FULL, Sizes
from tests.benchmarks.stand import PATIENCE, Stand, stop
from topics.event.event import Event, Operation
from worker.demo.stage import WRITEBACK

CASE: Final = "each vendor at its quota"
SHARE: Final = 0.95
CHANNELS: Final = ("general", "random", "qa", "alerts", "ops", "sales")
SANDBOX: Final = (
    "--latency", "0.05", "--rate", "190", "--slack-rate", "1", "--slack-burst", "3", "--sheets-rate", "60",
    "--xero-rate", "60", "--xero-at-once", "5", "--odoo-version", "19",
)  # fmt: skip
LOOK_S: Final = 0.2


@dataclass
class Vendor:
    """``rate``: calls a second that it takes, 0 for any number; then there are ``calls``, in the full size.

    ``writes``: what the sandbox calls a call that carries events.
    """

    name: str
    rate: float
    object: str
    operation: Operation
    writes: str
    settings: dict[str, Any] = field(default_factory=dict)
    secret: str = "access_token"
    path: str = ""
    """Behind the sandbox's address."""
    lanes: int = 1
    """So many have that rate each, side by side."""
    calls: int = 0
    quota: str = ""

    @property
    def slug(self) -> str:
        return f"quota-{self.name.replace('_', '-')}"

    def events(self, connector: HttpConnector, count: int) -> Iterator[Event]:
        """Each of a record of its own, in the order that the connector asks for."""
        for n in range(count):
            fields = self._fields(n)
            key = connector.record_key(self.object, self.operation, fields) or f"k{n}"
            yield Event(operation=self.operation, connection=self.slug, object=self.object, fields=fields, key=key)

    def _fields(self, n: int) -> dict[str, Any]:
        match self.name:
            case "slack":
                return {"channel": CHANNELS[n % len(CHANNELS)], "text": f"alert {n}"}
            case "hubspot":
                return {"email": f"u{n}@x.example", "firstname": f"name {n}"}
            case "salesforce":
                return {"LastName": f"name {n}", "Email": f"u{n}@x.example"}
            case "xero":
                return {"Name": f"company {n}"}
            case _:
                return {"name": f"name {n}", "email": f"u{n}@x.example"}


VENDORS: Final = (
    Vendor("hubspot", 19, "contact", Operation.UPSERT, "upsert", quota="190 calls in 10 s"),
    Vendor(
        "google_sheets", 1, "Leads", Operation.ADD, "batchUpdate", {"spreadsheet_id": "sandbox"},
        quota="60 writes a minute",
    ),
    Vendor("xero", 1, "contact", Operation.ADD, "create", quota="60 calls a minute, 5 at once"),
    Vendor(
        "slack", 1, "message", Operation.MESSAGE, "message", path="/api", lanes=len(CHANNELS),
        quota="a message a second and channel",
    ),
    Vendor("salesforce", 0, "contact", Operation.ADD, "create", calls=100, quota="calls of a day only: full calls"),
    Vendor(
        "odoo", 0, "contact", Operation.ADD, "create", {"database": "odoo", "username": "admin"}, "api_key", calls=20,
        quota="none: full calls",
    ),
)  # fmt: skip


@dataclass
class Seen:
    """What the vendor has carried out, by its own journal. ``calls``: those that carried events."""

    events: int = 0
    calls: set[int] = field(default_factory=set)
    throttled: int = 0
    first: float = 0.0
    last: float = 0.0

    def take(self, entry: dict[str, Any], vendor: Vendor) -> None:
        if entry["vendor"] != vendor.name:
            return
        self.throttled += entry["outcome"] in {"429", "ratelimited"} or entry["outcome"].startswith("RATE")
        if entry["operation"] != vendor.writes or not entry["performed"]:
            return
        body = entry["properties"] or {}
        rows = sum(len(one["appendCells"]["rows"]) for one in body.get("requests", []) if "appendCells" in one)
        listed = body.get("vals_list")
        self.events += rows or (len(listed) if isinstance(listed, list) else 1)
        self.calls.add(entry["request"])
        self.first = self.first or entry["received"]
        self.last = entry["received"]


def figures(stand: Stand, sizes: Sizes) -> Iterator[Figure]:
    """One after the other, each with all of its events there before it begins."""
    made = {vendor.name: _connector(stand, vendor) for vendor in VENDORS}
    counts = {vendor.name: _counts(vendor, made[vendor.name], sizes) for vendor in VENDORS}
    journal = stand.stage.folder / "vendors.journal"
    processes = [_sandbox(stand, journal)]
    try:
        url = json.loads(_first_line(stand.stage.folder / "vendors.out"))["url"]
        for vendor in VENDORS:
            _connect(stand, vendor, url)
            stand.emit(vendor.events(made[vendor.name], counts[vendor.name][0]))
        processes += stand.worker()
        with journal.open() as lines:
            for vendor in VENDORS:
                stand.connections().resume(vendor.slug)
                yield from _of(vendor, _followed(lines, vendor, counts[vendor.name][0]), *counts[vendor.name])
    finally:
        stop(processes)
    for vendor in VENDORS:
        stand.drop(vendor.slug)


def _connector(stand: Stand, vendor: Vendor) -> HttpConnector:
    """One that is only asked."""
    settings = {"base_url": stand.far.url, **vendor.settings}
    return registry.class_of(vendor.name)(registry.manifest(vendor.name), settings, {vendor.secret: "good"})


def _counts(vendor: Vendor, connector: HttpConnector, sizes: Sizes) -> tuple[int, int]:
    """How many events it gets, and how many go into a call."""
    most = connector.function(vendor.object, vendor.operation).batch_max
    calls = vendor.rate * vendor.lanes * sizes.at_quota or max(2, vendor.calls * sizes.at_quota / FULL.at_quota)
    return max(1, round(calls)) * most, most


def _connect(stand: Stand, vendor: Vendor, url: str) -> None:
    """With the limits of its manifest, and held until it is measured."""
    connections = stand.connections()
    connections.add(
        vendor.slug, vendor.name, secrets={vendor.secret: "good"},
        settings={"base_url": url + vendor.path, "allow_private_addresses": True, **vendor.settings},
    )  # fmt: skip
    connections.set_state(vendor.slug, "paused")
    stand.ensure(vendor.slug)


def _sandbox(stand: Stand, journal: Path) -> Any:
    command = [*WRITEBACK, "sandbox", "--json", "--port", "0", *SANDBOX, "--journal", str(journal), "--no-ledger"]
    return stand.stage.start(*command, name="vendors")


def _first_line(path: Path) -> str:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        if line := path.read_text().partition("\n")[0]:
            return line
        time.sleep(LOOK_S)
    raise RuntimeError("the sandbox does not start")


def _followed(lines: Any, vendor: Vendor, count: int) -> Seen:
    """Until every event has been carried out."""
    seen = Seen()
    until = time.monotonic() + PATIENCE
    while seen.events < count:
        if time.monotonic() > until:
            raise RuntimeError(f"{vendor.name} has carried out {seen.events:,} of {count:,} in {PATIENCE:.0f} s")
        time.sleep(LOOK_S)
        for entry in _entries(lines):
            seen.take(entry, vendor)
    return seen


def _entries(lines: Any) -> Iterable[dict[str, Any]]:
    """Whole lines only: the last one may be under way."""
    while True:
        at = lines.tell()
        line = lines.readline()
        if not line.endswith("\n"):
            lines.seek(at)
            return
        yield json.loads(line)


def _of(vendor: Vendor, seen: Seen, count: int, most: int) -> Iterator[Figure]:
    span = seen.last - seen.first
    note = f"{vendor.quota}; {most} events a call"
    each = seen.events / len(seen.calls)
    yield Figure(CASE, vendor.name, "rate", "events/s", (seen.events / span if span else 0.0,), note=note)
    yield Figure(CASE, vendor.name, "events per call", "", (each,), at_least=None if vendor.rate else SHARE * most)
    if vendor.rate:
        allowed = vendor.lanes * (1 + vendor.rate * span) * most
        yield Figure(CASE, vendor.name, "of what the quota allows", "", (seen.events / allowed,), at_least=SHARE)
    yield Figure(CASE, vendor.name, "throttled", "calls", (float(seen.throttled),))
    yield Figure(CASE, vendor.name, "lost or doubled", "events", (float(abs(seen.events - count)),), at_most=0)
