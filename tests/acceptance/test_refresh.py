"""The whole circle: rows of the warehouse, changes in the application, a refresh, the changes in the warehouse."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.acceptance import rig

SCRIPT = """\
import pq, types
st = types.SimpleNamespace(text=print)

Hubspot = pq.connect("Hubspot") # use your name of the connection
dbconn = pq.dbconnect(pq.DW_NAME)

for number in range(20):
   Hubspot.add("contact", email="person%d@x.example" % number, firstname="Person")
pq.refresh_connection(connection_name = "Hubspot", is_async = False)

rows = dbconn.fetch(pq.DW_NAME, 'hubspot', 'contact')
for row in rows:
   Hubspot.update("contact", id = row["id"], firstname = "New name")
   pq.refresh_connection(connection_name = "Hubspot")

result = pq.refresh_connection(connection_name = "Hubspot", is_async = False)
st.text("Result: %s" % result)

rows = dbconn.fetch(pq.DW_NAME, 'hubspot', 'contact')
print(sorted((row["email"], row["firstname"]) for row in rows))
"""


@pytest.mark.acceptance
@pytest.mark.timeout(300)
@pytest.mark.parametrize("engine", rig.ENGINES)
def test_the_whole_circle(engine: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Each refresh finds what the script has written before it; the twenty-one of a loop and its end cost one run."""
    with rig.stage_on(engine, tmp_path, request) as stage:
        sandbox = stage.sandbox("--latency", "0.01")
        rig.connect(stage, "Hubspot", sandbox, "--refresh-quiet", "2", connector="hubspot")
        working = stage.worker("up")
        script = stage.script(SCRIPT, name="script")
        assert script.wait(240) == 0, (tmp_path / "script.log").read_text() + (tmp_path / "worker.log").read_text()
        runs = json.loads(stage.writeback("refreshes", "Hubspot", "--json").stdout)
        assert stage.stop(working) == 0
        result, rows = (tmp_path / "script.out").read_text().splitlines()

    assert result.startswith("Result: {'status': 'success', 'detail': {'run': ")
    assert rows == str(sorted((f"person{number}@x.example", "New name") for number in range(20)))
    assert [(run["state"], run["requests"], run["pending_writes"]) for run in runs] == [("ok", 21, 0), ("ok", 1, 0)]
