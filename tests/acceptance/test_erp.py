"""The destination is real: parties from a CSV, through topics and worker, into an ERP that has rules of its own."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.acceptance.command import Person, eventually
from tests.acceptance.tryton import PARTIES, Erp, erp

__all__ = ["erp"]

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]

CREATED = {f"P{number:03}": f"Party {number}" for number in range(1, 41)}
SLIP = ("P017", "Party 41")
"""A row of the file whose code is another party's; it should have been P041."""
CHANGED = {f"P{number:03}": f"Party {number} Ltd" for number in range(1, 11)}
BODY = ("--types", "body=json")
DELETED = [f"P{number:03}" for number in range(31, 41)]


def _write(path: Path, columns: list[str], rows: Iterable[list[str]]) -> str:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns, *rows])
    return str(path)


def _import(person: Person, file: str, operation: str, *options: str, code: int = 0) -> dict[str, int]:
    where = ("--connection", "erp", "--object", "party", "--operation", operation)
    counts: dict[str, int] = person.json("import", file, *where, "--wait", *options, code=code)
    return counts


@pytest.fixture(params=["sqlite", pytest.param("kafka", marks=pytest.mark.kafka)])
def person(request: pytest.FixtureRequest, tmp_path: Path, erp: Erp) -> Person:
    """Somebody whose connection `erp` is the running ERP; the log is each engine in turn."""
    settings = {"ERP_KEY": erp.key}
    if request.param == "kafka":
        broker = request.getfixturevalue("kafka")
        settings |= {"WRITEBACK_LOG": f"kafka://{broker.bootstrap}", "WRITEBACK_SINGLE_HOST": "true"}
    person = Person(tmp_path / "home", **settings)
    person.run(
        *("connections", "add", "erp", "--connector", "http"),
        *("--set", f"base_url={erp.url}", "--set", "allow_private_addresses=true"),
        *("--secret", "access_token=env:ERP_KEY", "--concurrency", "1"),
    )
    return person


def test_parties_from_a_file_reach_the_erp(person: Person, erp: Erp, tmp_path: Path) -> None:
    """Created, changed and deleted from files; what the ERP refuses is a dead letter in its own words, and once
    corrected and replayed the ERP holds exactly what the files say."""
    rows = [[PARTIES, json.dumps({"code": code, "name": name})] for code, name in [*CREATED.items(), SLIP]]
    creates = _write(tmp_path / "create.csv", ["path", "body"], rows)

    with person.running("up"):
        assert _import(person, creates, "add", *BODY, code=3) == {"sent": 41, "rejected": 0, "delivered": 40, "dead": 1}
        (letter,) = person.json("dead-letters", "list", "--connection", "erp")
        story = person.run("dead-letters", "show", letter["id"])

        parties = {code: f"{PARTIES}/{number}" for code, number in erp.numbers().items()}
        changes = [[parties[code], "PUT", json.dumps({"name": name})] for code, name in CHANGED.items()]
        _import(person, _write(tmp_path / "change.csv", ["path", "method", "body"], changes), "update", *BODY)
        _import(person, _write(tmp_path / "delete.csv", ["path"], [[parties[code]] for code in DELETED]), "delete")

        body = json.dumps({"code": "P041", "name": SLIP[1]})
        person.run("dead-letters", "edit", letter["id"], "--set", f"body={body}")
        person.run("dead-letters", "replay", letter["id"])
        held = {**CREATED, **CHANGED, "P041": SLIP[1]}
        eventually(erp.parties, {code: name for code, name in held.items() if code not in DELETED})

    assert "The code on party must be unique." in story
    assert person.json("dead-letters", "list", "--connection", "erp") == []


def test_the_erp_creates_changes_and_deletes(erp: Erp) -> None:
    """The ERP answers 200, 200 and 204 to POST, PUT and DELETE, and holds what they said."""
    created = erp.call("POST", PARTIES, {"code": "P1", "name": "Acme"})
    number = created.json()["id"]
    changed = erp.call("PUT", f"{PARTIES}/{number}", {"name": "Acme Ltd"})
    held = erp.parties()
    deleted = erp.call("DELETE", f"{PARTIES}/{number}")

    assert (created.status_code, changed.status_code, deleted.status_code) == (200, 200, 204)
    assert held == {"P1": "Acme Ltd"}
    assert erp.parties() == {}


def test_the_erp_refuses_a_second_party_of_the_same_code(erp: Erp) -> None:
    """A duplicate code is refused with 400 and a sentence that a person understands."""
    erp.call("POST", PARTIES, {"code": "P1", "name": "Acme"})
    refused = erp.call("POST", PARTIES, {"code": "P1", "name": "Other"})

    assert refused.status_code == 400
    assert refused.json()["message"] == "The code on party must be unique."
    assert erp.parties() == {"P1": "Acme"}


def test_the_erp_says_what_is_gone_and_who_may_not(erp: Erp) -> None:
    """Changing what is not there is 404; a wrong key is 401."""
    gone = erp.call("DELETE", f"{PARTIES}/4711")
    erp.key = "wrong"
    stranger = erp.call("GET", PARTIES)

    assert (gone.status_code, stranger.status_code) == (404, 401)
