"""The brief's own lines, from a script in a process of its own to the vendor's records."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.acceptance import rig
from worker.demo.stage import Stage

SCRIPT = """\
import pq
hubspot_api = pq.connect("Hubspot")
slack_api = pq.connect("Slack")

hubspot_api.add('contact', {"email": "john@acme.com", "name": "John Doe"})

slack_api.add('message', channel = 'QA', text = 'Data quality alert')
"""

RESULT = """\
import pq, types
st = types.SimpleNamespace(text=print)

Hubspot = pq.connect("Hubspot") # use your name of the connection

john = Hubspot.findone("contact", searchfield = "email", searchterm = "john@acme.com")
result = Hubspot.update("contact", id = john["id"], name = "New name")
st.text("Result: %s" % result)
"""


@pytest.mark.acceptance
@pytest.mark.timeout(120)
def test_the_lines_of_the_brief_arrive(tmp_path: Path) -> None:
    """A contact with a first and a last name, an alert in the channel, and a result that prints as the dict it was."""
    with Stage(tmp_path) as stage:
        sandbox = stage.sandbox("--latency", "0.01")
        for name, connector, base in (("Hubspot", "hubspot", sandbox.url), ("Slack", "slack", f"{sandbox.url}/api")):
            stage.writeback(
                "connections", "add", name, "--connector", connector, "--secret", "access_token=t",
                "--set", f"base_url={base}", "--set", "allow_private_addresses=true",
            )  # fmt: skip
        worker = stage.worker()
        assert stage.script(SCRIPT, name="script").wait(30) == 0
        rig.wait_done(stage, within=30)
        assert stage.script(RESULT, name="result").wait(30) == 0
        assert stage.stop(worker) == 0
        state = sandbox.state()
        said = (tmp_path / "result.out").read_text()

    (contact,) = state["hubspot"]["records"]["contacts"].values()
    (message,) = state["slack"]["channels"]["qa"]
    assert (contact["email"], contact["firstname"], contact["lastname"]) == ("john@acme.com", "New", "name")
    assert message["text"] == "Data quality alert"
    assert said.startswith("Result: {'status': 'success', 'detail': {")
    assert ast.literal_eval(said.removeprefix("Result: "))["detail"]["properties"]["firstname"] == "New"
