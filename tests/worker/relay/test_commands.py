"""``writeback triggers`` as a person types it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from topics.cli.console import run
from topics.cli.context import CommandContext
from writeback import cli

Command = Callable[..., tuple[int, str, str]]
CREATE = ("create", "--table", "contacts", "--connection", "Crm", "--object", "contact", "--key", "email")


@pytest.fixture
def triggers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """``writeback triggers ...``: exit code, stdout, stderr. There is a connection, and a table with two rows."""
    monkeypatch.chdir(tmp_path)
    for name in ("log", "store", "warehouse"):
        monkeypatch.setenv(f"WRITEBACK_{name.upper()}", f"sqlite:///{tmp_path / name}.db")
    monkeypatch.setenv("WRITEBACK_SECRET_KEY", "a long random text for the tests")
    engine = create_engine(f"sqlite:///{tmp_path}/warehouse.db")
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE contacts (id INTEGER PRIMARY KEY, email TEXT, name TEXT)"))
        connection.execute(text("INSERT INTO contacts VALUES (1, 'a@acme.com', 'A'), (2, NULL, 'B')"))
    engine.dispose()

    def call(*arguments: str, group: str = "triggers") -> tuple[int, str, str]:
        code = run(cli, CommandContext(), [group, *arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    assert (
        call("add", "Crm", "--no-test", "--connector", "hubspot", "--secret", "access_token=t", group="connections")[0]
        == 0
    )
    return call


def test_made_listed_shown_and_dropped(triggers: Command) -> None:
    """Each command says what it did."""
    code, out, err = triggers(*CREATE, "--map", "email=email,firstname=name", "--upsert", "--on", "insert, update")
    assert (code, out) == (
        0,
        "Made the trigger crm_contacts: contacts → crm contact: insert becomes upsert, update becomes upsert.\n",
    )
    assert "writeback triggers backfill crm_contacts" in err

    (listed,) = json.loads(triggers("list", "--json")[1])
    assert (listed["name"], listed["state"], listed["waiting"]) == ("crm_contacts", "active", 0)
    assert listed["definition"]["fields"] == {"email": "email", "firstname": "name"}

    assert "CREATE TRIGGER" in triggers("show", "crm_contacts")[1]
    assert triggers("drop", "crm_contacts")[1] == "Dropped the trigger crm_contacts.\n"
    code, _, err = triggers("show", "crm_contacts")
    assert code == 1
    assert "no trigger 'crm_contacts'; there are none yet (`writeback triggers create`)" in err


def test_paused_backfilled_and_dropped_with_rows_that_wait(triggers: Command) -> None:
    """The list and the last words tell of the rows that wait."""
    triggers(*CREATE, "--map", "email=email", "--upsert", "--name", "mine", "--on", "insert,update")
    assert triggers("pause", "mine")[1] == "Paused mine: its rows wait in the outbox.\n"
    assert triggers("backfill", "mine")[1] == "2 rows of mine went into the outbox.\n"
    (listed,) = json.loads(triggers("list", "--json")[1])
    assert (listed["state"], listed["waiting"]) == ("paused", 2)
    assert triggers("resume", "mine")[1] == "Resumed mine.\n"
    assert triggers("drop", "mine")[1] == "Dropped the trigger mine. 2 of its rows are still on their way.\n"


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("--map", "email"), 2, "'email' is not NAME=VALUE"),
        ((), 1, "no column is mapped to a field: --map field=column"),
        (("--map", "email=email", "--on", "insert,truncate"), 2, "truncate: it is some of insert, update, delete"),
        (("--map", "email=email", "--as", "insert=destroy"), 2, "'destroy' is not a valid Operation"),
        (
            ("--map", "email=emial", "--on", "insert"),
            1,
            "contacts has no column 'emial'; it has id, email, name. Did you mean 'email'?",
        ),
        (("--map", "email=email", "--name", "A trigger!"), 1, "the name 'A trigger!' has other characters than"),
        (("--map", "email=email", "--table", "a.b.c"), 2, "'a.b.c' is no table: write TABLE or SCHEMA.TABLE"),
        (("--map", "email=email", "--table", "shop.contacts"), 2, "the warehouse has no schema 'shop'"),
        (("--map", "email=email", "--connection", "Crn"), 1, "no connection 'Crn'; there are: Crm"),
        (("--map", "email=email", "--object", "nothing"), 1, "unknown function nothing.add"),
        (
            ("--map", "email=email", "--on", "update"),
            1,
            "Add the column to --key, give --upsert if a field tells the record",
        ),
        (("--map", "email=email", "--upsert"), 1, "delete contact needs id, and that is what the delete becomes"),
        (
            ("--map", "email=email", "--upsert", "--object", "company"),
            1,
            "needs a property whose values no two records share",
        ),
        (("--map", "email=email", "--warehouse", "other"), 2, "there is no warehouse 'other'"),
        (("--map", "email=email", "--warehouse", "mysql://h/db"), 2, "mysql has no triggers of ours"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_made(
    triggers: Command, options: tuple[str, ...], code: int, said: str
) -> None:
    """Usage mistakes end with 2, what the database or the connection says with 1."""
    was = triggers(*CREATE, *options)
    assert (was[0], said in was[2]) == (code, True), was
    assert triggers("list", "--json")[1] == "[]\n"


def test_rejected_rows_are_listed_and_put_back(triggers: Command, tmp_path: Path) -> None:
    """With the reason and exit code 3, until they are retried."""
    triggers(*CREATE, "--map", "email=email", "--upsert", "--on", "insert,update")
    assert triggers("rejected")[0] == 0
    engine = create_engine(f"sqlite:///{tmp_path}/warehouse.db")
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO contacts VALUES (3, 'c@acme.com', 'C')"))
        columns = "id, aggregatetype, aggregateid, type, payload, timestamp, subject, trigger_name, backfill"
        connection.execute(
            text(
                f"INSERT INTO writeback_outbox_rejected ({columns}, refused) SELECT {columns}, 'why'"
                " FROM writeback_outbox"
            )
        )
        connection.execute(text("DELETE FROM writeback_outbox"))
    engine.dispose()
    code, out, _ = triggers("rejected", "--json")
    (row,) = json.loads(out)
    assert (code, row["refused"], row["key"]) == (3, "why", "c@acme.com")
    assert triggers("retry")[1] == "1 rows went back into the outbox.\n"
    assert json.loads(triggers("list", "--json")[1])[0]["waiting"] == 1
