"""The connector of the how-to page, in a user's own folder: no line of this project knows Acme Desk."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.command import Person
from tests.docs.desk import TOKEN, serving
from tests.docs.test_connector_page import block
from tests.docs.transcript import steps
from topics.cli.console import run
from topics.cli.context import CommandContext
from writeback import cli

PAGE = (Path(__file__).parents[2] / "docs/how-to/add-a-connector.md").read_text(encoding="utf-8")


SCRIPT = """
import json, pq

acme = pq.connect("Acme")
made = [acme.add("person", email=f"{name}@acme.com", name=f"{name} Doe") for name in ("ann", "bob", "cy")]
statuses = [receipt["status"] for receipt in made]
twice = acme.add("person", email="ann@acme.com")["detail"]
changed = [acme.update("person", id=number, name="Ada Lovelace") for number in (1, 2, 9)]
print(json.dumps({
    "made": statuses,
    "twice": twice,
    "changed": [receipt["status"] for receipt in changed],
    "deleted": acme.delete("person", id=3)["status"],
    "first_name": acme.get("person", id=1)["first_name"],
    "refreshed": pq.refresh_connection("Acme", is_async=False, timeout=60)["status"],
    "rows": len(list(pq.dbconnect(pq.DW_NAME).fetch(pq.DW_NAME, "acme", "person"))),
}))
"""


def test_it_is_about_sixty_lines() -> None:
    """A simple SaaS is one short file."""
    assert len(block("yaml").splitlines()) <= 62


def test_the_commands_of_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever types what the page says sees what it shows: lint, and the request that would be sent."""
    (tmp_path / "manifests").mkdir()
    (tmp_path / "manifests" / "acme.yaml").write_text(block("yaml"))
    monkeypatch.chdir(tmp_path)
    typed = [step for step in steps(PAGE) if step.command.startswith("writeback ")]
    assert len(typed) == 2
    for step in typed:
        assert run(cli, CommandContext(), shlex.split(step.command)[1:]) == 0
        assert capsys.readouterr().out.strip().startswith(step.expected.removesuffix("...").strip())


@pytest.mark.acceptance
@pytest.mark.timeout(120)
def test_a_system_that_is_not_in_the_list(tmp_path: Path) -> None:
    """Listed, connected, written to (alone and in a batch), refused, read and refreshed, by the file alone."""
    folder = tmp_path / "manifests"
    folder.mkdir()
    (folder / "acme.yaml").write_text(block("yaml"))
    (folder / "broken.yaml").write_text("name: broken\n")
    person = Person(tmp_path, WRITEBACK_CONNECTORS=str(folder), ACME_TOKEN=TOKEN)
    with serving() as (desk, url):
        person.run(
            *("connections", "add", "Acme", "--secret", "access_token=env:ACME_TOKEN"),
            *("--set", f"base_url={url}", "--set", "allow_private_addresses=true"),
        )
        with person.running("up"):
            done = subprocess.run(
                [sys.executable, "-c", SCRIPT],
                cwd=tmp_path,
                env=person.environment,
                capture_output=True,
                text=True,
                timeout=90,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            said = json.loads(done.stdout)
        assert said["made"] == ["success"] * 3
        assert "email_taken" in said["twice"]
        assert said["changed"] == ["success", "success", "error"]
        assert (said["deleted"], said["refreshed"], said["first_name"]) == ("success", "success", "Ada")
        assert said["rows"] == 2
        # which of the three came third, and was deleted, is chance: events of different records have no order
        assert [one["last_name"] for one in desk.people()] == ["Lovelace", "Lovelace"]
        assert {("POST", "/people"), ("DELETE", "/people/3")} <= {*desk.requests}
