"""The whole circle, with a real ERP and PostgreSQL: the warehouse's rows are changed in the ERP, and come back."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from tests.acceptance.command import SECONDS, Person
from tests.acceptance.tryton import PARTIES, Erp, erp

__all__ = ["erp"]

pytestmark = [pytest.mark.acceptance, pytest.mark.postgres, pytest.mark.timeout(300)]

PARTY = {"all": {"path": f"{PARTIES}?f=id&f=code&f=name", "records": "@"}, "types": {"id": "bigint"}}
SCRIPT = f"""\
import pq

Erp = pq.connect("erp")
dw = pq.dbconnect(pq.DW_NAME)
for row in dw.fetch(pq.DW_NAME, "erp", "party"):
    body = {{"name": row["name"] + " Ltd"}}
    Erp.update("party", path="{PARTIES}/%d" % row["id"], method="PUT", body=body)
    pq.refresh_connection(connection_name="erp")
print(pq.refresh_connection(connection_name="erp", is_async=False)["status"])
"""


def test_parties_go_round(erp: Erp, postgres_url: str, tmp_path: Path) -> None:
    """A script changes every party that the warehouse has; after one more run the warehouse has what the ERP has."""
    person = Person(tmp_path / "home", ERP_KEY=erp.key, WRITEBACK_WAREHOUSE=postgres_url)
    person.run(
        *("connections", "add", "erp", "--connector", "http", "--secret", "access_token=env:ERP_KEY"),
        *("--set", f"base_url={erp.url}", "--set", "allow_private_addresses=true"),
        *("--set", f"resources={json.dumps({'party': PARTY})}"),
        *("--concurrency", "1", "--refresh-quiet", "2"),
    )
    for number in range(1, 11):
        erp.call("POST", PARTIES, {"code": f"P{number:03}", "name": f"Party {number}"}).raise_for_status()

    with person.running("up"):
        person.run("refresh", "erp", "--wait")
        script = subprocess.run(
            [sys.executable, "-c", SCRIPT],
            cwd=person.home, env=person.environment, capture_output=True, text=True, timeout=SECONDS, check=False,
        )  # fmt: skip
        assert script.returncode == 0, script.stderr
        runs = person.json("refreshes", "erp")

    wanted = {f"P{number:03}": f"Party {number} Ltd" for number in range(1, 11)}
    assert script.stdout == "success\n"
    assert _names(postgres_url) == wanted == erp.parties()
    assert [(run["state"], run["pending_writes"], run["rows"]) for run in runs] == [("ok", 0, {"party": 10})] * len(
        runs
    )
    assert sum(run["requests"] for run in runs) == 12
    assert len(runs) < 12


def _names(url: str) -> dict[str, str]:
    """Of the warehouse's parties, by their codes."""
    engine = create_engine(url)
    with engine.connect() as connection:
        found = {row.code: row.name for row in connection.execute(text("SELECT code, name FROM erp.party"))}
    engine.dispose()
    return found
