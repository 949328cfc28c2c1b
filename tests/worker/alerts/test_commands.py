"""``writeback alerts``, as somebody types it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.worker.alerts.conftest import World
from topics.cli.console import FAILED, INCOMPLETE, OK, USAGE, run
from topics.cli.context import CommandContext
from writeback import cli

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(world: World, capsys: pytest.CaptureFixture[str]) -> Command:
    def typed(*args: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = run(cli, CommandContext(lambda: world.settings), ["alerts", *args])
        said = capsys.readouterr()
        return code, said.out, said.err

    return typed


def test_made_tested_listed_shown_and_paused(world: World, command: Command) -> None:
    """A test shows the message and sends nothing; the list says what holds."""
    query = "SELECT id FROM imports WHERE failed"
    made = command(
        "create", "failed", "--query", query, "--to", "slack:QA", "--text", "{count} failed", "--every", "10s"
    )
    empty = command("test", "failed")
    world.write("INSERT INTO imports VALUES (7, 'ada@acme.com', true)")
    tested = command("test", "failed")
    nothing_sent = world.says()
    world.watch.look(world.watch._alerts()[0])
    listed = json.loads(command("list", "--json")[1])
    shown = command("show", "failed")
    paused = command("pause", "failed")

    assert made[0] == OK
    assert "query is looked at every 10s, slack:QA is told." in made[1]
    assert "failed has nothing to say now." in empty[1]
    assert tested[1] == "message message on slack:\n  channel: QA\n  text: 1 failed\n    • id: 7\n"
    assert nothing_sent == []
    assert [(one["name"], one["state"], one["to"]) for one in listed] == [("failed", "holds", "slack:QA")]
    assert "the query has 1 row" in shown[1]
    assert paused[1] == "failed is paused.\n"
    assert json.loads(command("list", "--json")[1])[0]["state"] == "paused"


def test_a_test_shows_the_rows_that_come_along(world: World, command: Command) -> None:
    """In the thread of a Slack message, as the file of an email."""
    world.write("INSERT INTO imports VALUES (7, 'ada@acme.com', true)")
    to = ("--to", "slack:QA", "--to", "mail:qa@acme.com")
    made = command("create", "failed", "--query", "SELECT id, mail FROM imports", *to, "--rows", "0", "--attach", "50")
    shown = command("test", "failed")[1]

    assert made[0] == OK
    assert shown.splitlines() == [
        "message message on slack:",
        "  channel: QA",
        "  text: failed: the query has 1 row",
        "  in its thread: ```",
        "    id,mail",
        "    7,ada@acme.com",
        "    ```",
        "message message on mail:",
        "  to: qa@acme.com",
        "  subject: failed: the query has 1 row",
        "  text: failed: the query has 1 row",
        "  attachments: ",
        "    - filename: failed.csv, content: id,mail",
        "    7,ada@acme.com",
    ]
    assert command("create", "down", "--on", "down", "--to", "slack:QA", "--attach", "5")[0] == FAILED


def test_a_test_message_goes_to_everybody(world: World, command: Command) -> None:
    """So that the second way is known to work before it is needed."""
    command("create", "down", "--on", "down", "--to", "slack:ops", "--otherwise", "mail:ops@acme.com")

    code, _, told = command("test", "down", "--send")

    assert code == OK
    assert "slack:ops, mail:ops@acme.com" in told
    assert sorted(event.connection for event in world.says()) == ["mail", "slack"]


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["--on", "donw"], FAILED, "on.0: input should be 'down'"),
        ([], FAILED, "give one of query and on"),
        (["--query", "SELECT nought FROM imports"], FAILED, "no such column: nought"),
        (["--query", "SELECT 1", "--every", "often"], FAILED, "every: 'often' is no span of time"),
        (["--on", "down", "--to", "nowhere:QA"], FAILED, "nowhere"),
        (["--on", "down", "--to", "slack"], FAILED, "'slack' is no address"),
    ],
)
def test_what_is_wrong_is_said_and_no_file_is_written(
    world: World, command: Command, args: list[str], code: int, said: str
) -> None:
    """Everything that can be known is known when it is made."""
    to = [] if "--to" in args else ["--to", "slack:QA"]

    found = command("create", "wrong", *args, *to)

    assert found[0] == code
    assert said in found[2]
    assert not Path(world.settings.alerts / "wrong.yaml").exists()


def test_a_file_that_cannot_be_read_stops_no_other(world: World, command: Command) -> None:
    """Its mistake is said with its file and field, and the nearest name."""
    command("create", "down", "--on", "down", "--to", "slack:QA")
    (world.settings.alerts / "odd.yaml").write_text("on: down\nto: slack:QA\nrepaet: 4h\n")

    code, out, err = command("list")

    assert code == INCOMPLETE
    assert "down" in out
    assert "odd.yaml:\n  repaet: there is no such setting; did you mean repeat?" in err


def test_made_twice(command: Command) -> None:
    """The file that is there is not written over unasked."""
    command("create", "down", "--on", "down", "--to", "slack:QA")
    code, _, said = command("create", "down", "--on", "quarantined", "--to", "slack:QA")

    assert code == USAGE
    assert "--replace" in said


def test_an_unknown_name(command: Command) -> None:
    """The nearest one is named."""
    command("create", "down", "--on", "down", "--to", "slack:QA")

    code, _, said = command("show", "dwon")

    assert code == FAILED
    assert "Did you mean 'down'?" in said
