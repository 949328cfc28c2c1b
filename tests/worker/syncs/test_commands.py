"""``writeback syncs`` as a person types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests.worker.syncs.conftest import World
from topics.cli.console import run
from topics.cli.context import CommandContext
from worker.refresher import leases
from worker.refresher.leases import Leases
from writeback import cli


def test_from_create_to_the_reckoning(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each command says what it did, with the exit codes that its help promises."""
    monkeypatch.chdir(tmp_path)
    for name in ("log", "store", "warehouse"):
        monkeypatch.setenv(f"WRITEBACK_{name.upper()}", f"sqlite:///{tmp_path / name}.db")
    monkeypatch.setenv("WRITEBACK_SECRET_KEY", "a long random text for the tests")

    def call(*arguments: str) -> tuple[int, str, str]:
        code = run(cli, CommandContext(), ["syncs", *arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    world.people(1, 3)
    to = ("--connection", "crm", "--object", "contact")
    code, out, _ = call("create", "crm_people", "--table", "people", "--key", "id", *to, "--map", "email=email,age=age")
    assert (code, out) == (0, "Wrote syncs/crm_people.yaml: 3 columns of people become upsert contact on crm.\n")
    assert call("create", "crm_people", "--table", "people", "--key", "id", *to)[0] == 2

    code, out, _ = call("plan", "crm_people", "--out", "p.plan", "--exit-code")
    assert (code, out.splitlines()[:3]) == (
        4,
        ["crm_people: 3 rows read, 0 unchanged, 3 to send", "", "3 added → upsert contact"],
    )
    assert json.loads(call("plan", "crm_people", "--json")[1])["api_calls"] == 1
    code, out, err = call("run", "crm_people", "--plan", "p.plan")
    assert (code, out) == (0, "crm_people: 3 read, 0 unchanged, 3 sent\n")
    assert "A worker delivers them" in err
    assert call("run", "crm_people", "--wait", "--timeout", "0")[0] == 0

    world.deliver()
    first = json.loads(call("runs", "crm_people", "--json")[1])[-1]
    assert (first["sent"], first["delivered"], first["pending"]) == (3, 3, 0)
    assert call("pause", "crm_people")[1] == "Paused crm_people.\n"
    assert json.loads(call("list", "--json")[1])[0]["state"] == "paused"
    assert call("resume", "crm_people")[0] == 0
    shown = call("show", "crm_people")[1]
    assert "rows in the snapshot: 3" in shown
    assert yaml.safe_load(shown.partition("\n\n")[0])["connection"] == "crm"
    assert call("reset", "crm_people")[0] == 2
    Leases(world.store).take("sync:crm_people", "dead")
    monkeypatch.setattr(leases, "TAKEOVER_SECONDS", 0.1)
    assert call("reset", "crm_people", "--yes")[0] == 0
    assert json.loads(call("plan", "crm_people", "--json")[1])["added"] == 3
    code, _, err = call("show", "people")
    assert (code, "Did you mean 'crm_people'" in err) == (1, True)
