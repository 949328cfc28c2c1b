"""Made the files beside it: a store and a log as an older release leaves them, with work in them.

Run it with the code of that release; ``sqlite/`` and ``postgresql/`` are of commit 74befb5, the last one before there
were migrations:

    git worktree add --detach /tmp/older 74befb5
    cd /tmp/older && PYTHONPATH=. python /path/to/tests/upgrade/make.py FOLDER [postgresql://...]

FOLDER then has ``log.db.gz``, and ``store.db.gz`` or ``store.sql.gz`` (needs ``pg_dump``).
"""

from __future__ import annotations

import gzip
import json
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import Request, urlopen

from worker.demo.stage import Sandbox, Stage

TOKEN = "pat-test"
SECRET_KEY = "3s8mJH3Yc4H0d0n4tUs3Th1sK3yF0rR3alS3cr3tsQk="
ENVIRONMENT = {"SANDBOX_TOKEN": TOKEN, "WRITEBACK_SECRET_KEY": SECRET_KEY}


def create_contact(crm: Sandbox, email: str) -> str:
    """A contact that was there before; the first one of every sandbox has the same id."""
    call = Request(
        f"{crm.url}/crm/v3/objects/contacts/batch/create",
        json.dumps({"inputs": [{"properties": {"email": email, "firstname": "0"}, "associations": []}]}).encode(),
        {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"},
    )
    with urlopen(call) as answer:
        return str(json.load(answer)["results"][0]["id"])


def work(stage: Stage) -> None:
    """Delivered, dead, edited, noted, discarded, replayed and parked; and two events that wait for a worker."""
    crm = stage.sandbox(name="crm")
    stage.writeback(
        "connections", "add", "hubspot", "--set", f"base_url={crm.url}", "--set", "allow_private_addresses=true",
        "--secret", f"access_token={TOKEN}", "--on-dead", "park",
    )  # fmt: skip
    stage.writeback(
        "connections", "add", "Team", "--no-test", "--connector", "slack", "--secret", "access_token=env:SLACK_TOKEN"
    )
    stage.writeback("connections", "pause", "Team")
    ada = create_contact(crm, "ada@x.example")
    worker = stage.worker()
    upsert(stage, "kept@x.example", "1")
    for name in ("edited", "noted", "discarded", "replayed"):
        upsert(stage, f"{name}@refused.example", "1")
    update(stage, ada, email="ada@refused.example", firstname="1")
    update(stage, ada, firstname="2")
    update(stage, ada, firstname="3")
    found: dict[str, str] = {}
    until = time.monotonic() + 60
    while len(found) < 7 and time.monotonic() < until:
        time.sleep(0.5)
        letters = stage.json("dead-letters", "list")
        found = {letter["event_key"] + letter["verdict"] + letter["id"]: letter["id"] for letter in letters}
    assert len(found) == 7, found
    stage.stop(worker)
    by_key = {letter["event_key"]: letter["id"] for letter in stage.json("dead-letters", "list")}
    stage.writeback("dead-letters", "edit", by_key["edited@refused.example"], "--set", "firstname=2")
    stage.writeback("dead-letters", "note", by_key["noted@refused.example"], "asked the sales team")
    stage.writeback("dead-letters", "discard", by_key["discarded@refused.example"], "--reason", "gone", "--yes")
    stage.writeback("dead-letters", "replay", by_key["replayed@refused.example"], "--yes")
    upsert(stage, "waiting@x.example", "1")
    upsert(stage, "waiting@x.example", "2")


def upsert(stage: Stage, email: str, firstname: str) -> None:
    stage.writeback("emit", "hubspot", "upsert", "contact", json.dumps({"email": email, "firstname": firstname}))


def update(stage: Stage, record: str, **fields: str) -> None:
    stage.writeback("emit", "hubspot", "update", "contact", json.dumps({"id": record, **fields}))


def _pack(database: Path, target: Path) -> None:
    connection = sqlite3.connect(database)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    target.write_bytes(gzip.compress(database.read_bytes(), mtime=0))


def main() -> None:
    folder, store = Path(sys.argv[1]), (sys.argv[2] if len(sys.argv) > 2 else "")
    with Stage(folder / "stage", store=store, env=ENVIRONMENT) as stage:
        work(stage)
    _pack(folder / "stage/log.db", folder / "log.db.gz")
    if store:
        dump = ["pg_dump", "--inserts", "--no-owner", "--no-privileges", "--dbname", store]
        said = subprocess.run(dump, check=True, capture_output=True, text=True).stdout
        lines = [line for line in said.splitlines() if not line.startswith(("--", "\\")) and line]
        (folder / "store.sql.gz").write_bytes(gzip.compress("\n".join(lines).encode(), mtime=0))
    else:
        _pack(folder / "stage/store.db", folder / "store.db.gz")


if __name__ == "__main__":
    main()
