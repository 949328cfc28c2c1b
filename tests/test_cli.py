"""The front door: help, errors, exit codes, logging."""

from __future__ import annotations

import json
import logging
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import click
import pytest
import structlog

import writeback
from topics.cli.console import note, print_listing, run, say
from topics.cli.context import CommandContext
from topics.cli.logging import configure_logging
from topics.errors import LogUnavailable
from topics.event.result import Result, StateChange, pack, pack_state
from topics.names import DEFAULT
from topics.settings import Settings

COMMANDS = [name for section in writeback.SECTIONS.values() for name in section]


@pytest.fixture(autouse=True)
def _settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("WRITEBACK_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WRITEBACK_LOG", f"sqlite:///{tmp_path}/log.db")
    monkeypatch.setenv("WRITEBACK_STORE", f"sqlite:///{tmp_path}/store.db")


def command(*args: str) -> int:
    return run(writeback.cli, CommandContext(), args)


def subcommands(group: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    if isinstance(group, click.Group):
        for name in group.list_commands(click.Context(group)):
            found = group.get_command(click.Context(group), name)
            assert found is not None
            yield from subcommands(found, (*path, name))


ALL = list(subcommands(writeback.cli))


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_command_has_help(path: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """It loads, says what it does in a sentence, and needs no settings for that."""
    code = command(*path, "--help")

    said = capsys.readouterr().out
    assert code == 0
    assert re.search(r"\n  [A-Z][^\n]{10,}", said)


def test_help_loads_no_room() -> None:
    """Help is there at once because nothing heavy is imported for it."""
    heavy = {"sqlalchemy", "pydantic", "kafka", "aiohttp", "rich"}
    check = f"import sys, writeback; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", check], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1]
    )

    assert done.stdout == "[]\n"


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """By what one wants to do."""
    command("--help")

    said = capsys.readouterr().out
    assert [name for name in COMMANDS if f"\n  {name} " not in said] == []


def test_the_examples_of_the_help_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever types what the help shows gets what it says, on a fresh machine and without a vendor's token."""
    examples = writeback.HELP.partition("\b\n")[2].partition("\n\n")[0].replace("\\\n", " ")
    commands = [shlex.split(line) for line in examples.splitlines()]
    (tmp_path / "contacts.csv").write_text("email,name\njohn@acme.com,John Doe\n")
    monkeypatch.delenv("HUBSPOT_TOKEN", raising=False)

    assert [words[0] for words in commands] == ["writeback"] * 5
    assert [command(*words[1:]) for words in commands if words[1] != "up"] == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (LogUnavailable("kafka://h:9092 does not answer"), 1, "writeback: kafka://h:9092 does not answer\n"),
        (click.UsageError("no such thing"), 2, "Error: no such thing"),
        (KeyboardInterrupt(), 130, "writeback: interrupted\n"),
    ],
)
def test_errors_are_one_message(error: BaseException, code: int, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    """On stderr, with an exit code that means something, without a traceback."""

    @click.command()
    def failing() -> None:
        raise error

    got = run(failing, CommandContext(), [])

    said = capsys.readouterr()
    assert (got, said.out) == (code, "")
    assert told in said.err
    assert "Traceback" not in said.err


def failing(error: Exception) -> click.Command:
    @click.command()
    @click.option("--secret")
    @click.argument("fields", default="{}")
    def buggy(**_given: str) -> None:
        raise error

    return buggy


def test_what_nobody_foresaw(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line, exit code 1, and a report for whoever mends it: traceback and versions, no secret, nobody's data."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("WRITEBACK_SECRET_KEY", "the-key-of-this-machine")
    words = "token tok-12345 and the-key-of-this-machine at postgresql://me:pass@db\nBearer abcdefgh"
    args = ["--secret", "access_token=tok-12345", '{"email": "john@acme.com"}']
    code = run(failing(ZeroDivisionError(words)), CommandContext(), args)

    said = capsys.readouterr()
    (report,) = (tmp_path / ".writeback/reports").iterdir()
    written = report.read_text()
    assert (code, said.out) == (1, "")
    assert said.err == (
        "writeback: unexpected ZeroDivisionError: token [redacted] and [redacted] at postgresql://[redacted]@db "
        f"Bearer [redacted]; the full report is in {report}\n"
    )
    assert written.startswith("command: writeback --secret access_token=[redacted] {26 characters}\npython: 3.")
    assert "versions: writeback 0" in written
    assert "in buggy\n    raise error\nZeroDivisionError: token [redacted]" in written
    assert "john" not in written + said.err
    assert (report.stat().st_mode & 0o777, report.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_a_report_that_cannot_be_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says so, and how to see more."""
    (tmp_path / "file").touch()
    monkeypatch.setattr("topics.cli.report.FOLDERS", (tmp_path / "file" / "reports",))

    assert run(failing(ZeroDivisionError()), CommandContext(), []) == 1
    assert capsys.readouterr().err == (
        "writeback: unexpected ZeroDivisionError; it cannot be written down; --debug shows where it happened\n"
    )


def test_a_report_where_files_do_not_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """WRITEBACK_REPORTS=stderr, as in a container: no file; what is told in a line stays a line."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("WRITEBACK_REPORTS", "stderr")
    assert run(failing(ZeroDivisionError("Bearer abcdefgh")), CommandContext(), ["up"]) == 1
    unforeseen = capsys.readouterr().err
    assert command("emit", "nobody", "add", "contact", "{}") == 1
    told = capsys.readouterr().err

    assert unforeseen.startswith("command: writeback up\npython: 3.")
    assert "in buggy\n    raise error\nZeroDivisionError: Bearer [redacted]" in unforeseen
    assert unforeseen.endswith(
        "\nwriteback: unexpected ZeroDivisionError: Bearer [redacted]; the full report is above\n"
    )
    assert not (tmp_path / ".writeback").exists()
    assert len(told.splitlines()) == 1


def test_an_error_while_closing_is_no_traceback_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing runs outside the last line of defence."""
    monkeypatch.setenv("HOME", str(tmp_path))

    class Closing(CommandContext):
        def close(self) -> None:
            raise RuntimeError("closing")

    assert run(click.Command("nothing"), Closing(), []) == 1
    assert capsys.readouterr().err.startswith("writeback: unexpected RuntimeError: closing; the full report is in")


def test_the_traceback_can_be_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of what nobody foresaw and of what is told in one line else: by --debug, or by the environment."""
    monkeypatch.setenv("HOME", str(tmp_path))
    assert command("--debug", "emit", "nobody", "add", "contact", "{}") == 1
    told = capsys.readouterr().err
    monkeypatch.setenv("WRITEBACK_DEBUG", "true")
    assert run(failing(ZeroDivisionError()), CommandContext(), []) == 1
    unforeseen = capsys.readouterr().err

    assert told.startswith("Traceback (most recent call last):")
    assert told.splitlines()[-1].startswith("writeback: no connection")
    assert unforeseen.startswith("Traceback (most recent call last):")
    assert "\nwriteback: unexpected ZeroDivisionError; the full report" in unforeseen


def test_wrong_settings(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """One message that lists every mistake by its variable's name, exit code 2."""
    monkeypatch.setenv("WRITEBACK_LOG", "mysql://x")
    monkeypatch.setenv("WRITEBACK_GRACE_SECONDS", "-1")
    code = command("topics", "list")

    said = capsys.readouterr().err
    assert code == 2
    assert said.startswith("writeback: 2 settings are wrong:")
    assert "WRITEBACK_LOG:" in said
    assert "WRITEBACK_GRACE_SECONDS:" in said


def test_a_reader_that_goes_away() -> None:
    """`writeback ... | head -1` ends without a word."""
    text = (
        "from topics.cli.console import run; from topics.cli.context import CommandContext; import click, sys\n"
        "@click.command()\ndef talk():\n    for _ in range(100_000): click.echo('x' * 100)\n"
        "sys.exit(run(talk, CommandContext(), []))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", text], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=Path(__file__).parents[1]
    )
    assert process.stdout is not None
    process.stdout.read(10)
    process.stdout.close()
    errors = process.stderr.read() if process.stderr else b""
    code = process.wait(30)
    if process.stderr:
        process.stderr.close()

    assert (code, errors) == (1, b"")


def test_a_listing_in_a_pipe_can_be_cut(capsys: pytest.CaptureFixture[str]) -> None:
    """One line per row, tabs between the columns, whatever is in the cells."""
    print_listing([{"a_b": "x\ty\nz", "c": None}], as_json=False)

    assert capsys.readouterr().out == "a b\tc\nx y z\t\n"


@pytest.mark.parametrize("delimiter", ["tab", r"\t"])
def test_a_tab_can_be_typed(delimiter: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Shells make a tab hard to type: the word and the escape mean one."""
    assert command("connections", "add", "slack", "--no-test", "--secret", "access_token=env:TOKEN") == 0
    (tmp_path / "rows.txt").write_text("channel\ttext, with a comma\nQA\thello\n", encoding="utf-8")
    capsys.readouterr()
    arguments = ("--connection", "slack", "--object", "message", "--operation", "add", "--dry-run", "--json")

    assert command("import", "rows.txt", "--delimiter", delimiter, *arguments) == 0
    assert '"text, with a comma": "hello"' in capsys.readouterr().out


@pytest.mark.parametrize("delimiter", [";;", "", "\n", '"'])
def test_what_is_no_delimiter(delimiter: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Wrong usage, said before anything is opened."""
    (tmp_path / "rows.csv").write_text("a;b\n1;2\n", encoding="utf-8")

    assert command("import", "rows.csv", "--delimiter", delimiter, "--connection", "c", "--object", "o") == 2
    assert "tab" in capsys.readouterr().err


def add_hubspot(*options: str) -> None:
    assert command("connections", "add", "hubspot", "--no-test", "--secret", "access_token=env:TOKEN", *options) == 0


def test_when_a_connection_is_refreshed(capsys: pytest.CaptureFixture[str]) -> None:
    """What is said about refreshes is kept; what is not said again stays."""
    add_hubspot("--refresh", "after_writeback", "--refresh-quiet", "2")
    command("connections", "set", "hubspot", "--refresh-max-wait", "30")
    capsys.readouterr()
    command("connections", "show", "hubspot", "--json")
    policy = json.loads(capsys.readouterr().out)["policy"]

    assert policy == {"refresh": {"after_writeback": True, "quiet": 2.0, "max_wait": 30.0}}


def test_a_refresh_that_another_tool_makes(capsys: pytest.CaptureFixture[str]) -> None:
    """Its settings are checked where they are said, and a secret can only be a reference; sync is our own again."""
    add_hubspot()
    wrong = command("connections", "set", "hubspot", "--refresh-with", "airbyte", "--refresh-set", "token=abc")
    said = capsys.readouterr().err
    airbyte = ("--refresh-with", "airbyte", "--refresh-set", "connection_id=c1", "--refresh-set", "token=env:AIRBYTE")
    command("connections", "set", "hubspot", *airbyte, "--json")
    policy = json.loads(capsys.readouterr().out)["policy"]
    command("connections", "set", "hubspot", "--refresh-with", "sync", "--json")

    assert wrong == 2
    assert "connection_id: Field required" in said
    assert "token:" in said
    assert policy == {"refresh": {"call": {"tool": "airbyte", "connection_id": "c1", "token": "env:AIRBYTE"}}}
    assert json.loads(capsys.readouterr().out)["policy"] == {"refresh": {"call": None}}


def test_a_refresh_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    """The request lies in the log when the command ends; without a refresher nothing has come of it."""
    add_hubspot()
    capsys.readouterr()
    asked = command("refresh", "hubspot", "--object", "contact", "--full", "--json")
    told = json.loads(capsys.readouterr().out)
    waited = command("refresh", "hubspot", "--wait", "--timeout", "0.2")
    said = capsys.readouterr().err
    listed = command("refreshes", "hubspot", "--json")

    assert (asked, waited, listed) == (0, 3, 0)
    assert (told["connection"], told["status"]) == ("hubspot", "asked")
    assert "has not ended in time" in said
    assert json.loads(capsys.readouterr().out) == []


def test_a_refresh_of_what_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown connection is named before anything is sent; --timeout alone is wrong usage."""
    add_hubspot()
    capsys.readouterr()
    assert command("refresh", "Odoo") == 1
    assert "Odoo" in capsys.readouterr().err
    assert command("refresh", "hubspot", "--timeout", "3") == 2


HTTP = ("connections", "add", "erp", "--no-test", "--connector", "http", "--set", "base_url=https://erp.example.com")
IMPORT = ("import", "rows.csv", "--connection", "slack", "--object", "message")


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("emit", "slack", "add", "message", "{}", "--wait-seconds", "5"), "say --wait, too"),
        (("topics", "create", "--partitions", "2"), "give its SLUG, too"),
        ((*HTTP, "--per-seconds", "10"), "this connection has no rate: say --rate"),
        (("connections", "add", "s2", "--connector", "slack", "--on-unknown", "upsert=retry"), "has no such operation"),
        (("connections", "set", "slack", "--unset", "rate"), "it is not set; what is: access_token"),
        (("dead-letters", "edit", "x", "--revert", "--set", "a=b"), "no other change goes with it"),
        (("dead-letters", "edit", "x"), "say what to change"),
        ((*IMPORT, "--map", "a=x", "--map", "a=y"), "--map says twice what a is"),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, tuple) else None,
)
def test_an_option_with_nothing_to_act_on_is_refused(
    args: tuple[str, ...], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It would be accepted and do nothing."""
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    assert command("connections", "add", "slack", "--no-test", "--secret", "access_token=env:TOKEN") == 0
    capsys.readouterr()

    assert command(*args) == 2
    assert told in " ".join(capsys.readouterr().err.split())


def test_the_words_of_others_have_no_power_over_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Escape sequences, C1 controls and turned text are shown; in JSON they are escapes, and the value is the same."""
    hostile = "\x1b]0;owned\x07 \x9b2J \u202e"
    print_listing([{"key": hostile}], as_json=False)
    say(hostile)
    note(hostile)
    table = capsys.readouterr()
    print_listing([{"key": hostile}], as_json=True)
    listed = capsys.readouterr().out

    shown = r"\x1b]0;owned\x07 \x9b2J \u202e"
    assert (table.out, table.err) == (f"key\n{shown}\n{shown}\n", f"{shown}\n")
    assert listed.isascii()
    assert json.loads(listed) == [{"key": hostile}]


def test_topics(capsys: pytest.CaptureFixture[str]) -> None:
    """Ours are made, listed and measured."""
    created = command("topics", "create"), command("topics", "create", "hubspot", "--partitions", "2")
    capsys.readouterr()
    command("topics", "list", "--json")
    listed = {row["topic"]: row["partitions"] for row in json.loads(capsys.readouterr().out)}
    command("topics", "lag", "--json")
    lags = json.loads(capsys.readouterr().out)

    assert created == (0, 0)
    assert listed == {
        "writeback.dead-letter": 1, "writeback.events.hubspot": 2, "writeback.refresh": 8, "writeback.replies": 8,
        "writeback.results": 1,
    }  # fmt: skip
    assert [(row["connection"], row["partition"], row["waiting"]) for row in lags] == [
        ("writeback.dead-letter", 0, 0), ("hubspot", 0, 0), ("hubspot", 1, 0),
    ]  # fmt: skip


def ledger(*results: Result) -> None:
    context = CommandContext()
    context.log().ensure_topics(DEFAULT.system_topics)
    producer = context.log().producer()
    for start in range(0, len(results), 3):
        producer.send(DEFAULT.results, key=None, value=pack(results[start : start + 3]))
    producer.flush(10)
    producer.close()
    context.close()


def outcome(number: int, **more: object) -> Result:
    base: dict[str, object] = {
        "id": f"event-{number}", "outcome": "delivered", "connection": "hubspot", "object": "contact",
        "operation": "add", "key": None,
        "topic": "writeback.events.hubspot", "partition": 0, "offset": number, "attempts": 1, "time": 0.0,
    }  # fmt: skip
    return Result(**{**base, **more})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("args", "events"),
    [
        ((), [0, 1, 2, 3, 4, 5, 6]),
        (("--limit", "2"), [5, 6]),
        (("--outcome", "dead"), [3]),
        (("--connection", "slack"), [4]),
        (("--event", "event-1"), [1]),
    ],
)
def test_results(args: tuple[str, ...], events: list[int], capsys: pytest.CaptureFixture[str]) -> None:
    """The ledger, the latest last, filtered."""
    ledger(
        *[
            outcome(n, outcome="dead" if n == 3 else "delivered", connection="slack" if n == 4 else "hubspot")
            for n in range(7)
        ]
    )
    code = command("results", "--json", *args)

    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert code == 0
    assert [row["id"] for row in rows] == [f"event-{number}" for number in events]


@pytest.mark.parametrize("behind", [0, 3, 40])
def test_the_last_results_are_that_many(behind: int, capsys: pytest.CaptureFixture[str]) -> None:
    """However many records of the topic tell something else, such as how connections are."""
    ledger(*map(outcome, range(9)))
    context = CommandContext()
    with closing(context.log().producer()) as producer:
        for number in range(behind):
            change = StateChange("hubspot", "active", "", float(number))
            producer.send(DEFAULT.results, key=b"hubspot", value=pack_state(change))
    context.close()
    command("results", "--json", "--limit", "4")

    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["id"] for row in rows] == ["event-5", "event-6", "event-7", "event-8"]


def test_results_marks_what_may_have_happened_twice(capsys: pytest.CaptureFixture[str]) -> None:
    """A possible duplicate and a letter are seen in the table."""
    ledger(outcome(1, outcome="dead", reason="HTTP 400", letter="abc", possible_duplicate=True))
    command("results")

    assert "HTTP 400 (dead letter abc) (possibly twice)" in capsys.readouterr().out


def test_doctor_on_a_fresh_machine(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is wrong yet; it says what comes next."""
    code = command("doctor", "--json")

    said = json.loads(capsys.readouterr().out)
    assert (code, said["ok"]) == (0, True)
    assert {one["check"]: one["state"] for one in said["findings"]} == {
        "settings": "ok", "log": "ok", "store": "ok", "workers": "warning", "dead letters": "ok",
    }  # fmt: skip
    assert "writeback connections add" in said["findings"][2]["said"]


def test_doctor_says_what_is_wrong(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A secret that does not decrypt, an address that does not answer, events that no worker reads: exit code 1."""
    monkeypatch.setenv("WRITEBACK_SECRET_KEY", "a-key-for-tests-long-enough")
    add = (
        "--secret",
        "access_token=t",
        "--set",
        "base_url=http://127.0.0.1:9",
        "--set",
        "allow_private_addresses=true",
    )
    command("connections", "add", "Hubspot", "--no-test", *add)
    command("emit", "hubspot", "add", "contact", "{}")
    capsys.readouterr()
    first = command("doctor", "--json")
    refused = {one["check"]: one for one in json.loads(capsys.readouterr().out)["findings"]}
    monkeypatch.setenv("WRITEBACK_SECRET_KEY", "another-key-long-enough")
    second = command("doctor")
    undecrypted = capsys.readouterr().out

    assert (first, second) == (1, 1)
    assert refused["connection Hubspot"]["state"] == "wrong"
    assert "writeback connections set hubspot" in refused["connection Hubspot"]["said"]
    assert refused["events hubspot"]["said"] == (
        "1 wait: no worker: none runs on this store; start one: `writeback up`, or `writeback worker`"
    )
    assert "it does not decrypt" in undecrypted


def _boom(_secret: str) -> None:
    raise ValueError("boom")


def test_what_a_library_logs_is_json_too(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """With the library's name: whoever reads JSON lines finds nothing else in them."""
    monkeypatch.setattr(logging.root, "handlers", [])
    configure_logging(Settings())
    try:
        logging.getLogger("kafka.coordinator").warning("Marking %s dead", "the coordinator")
    finally:
        structlog.reset_defaults()

    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["level"]) == ("Marking the coordinator dead", "warning")
    assert line["logger"] == "kafka.coordinator"
    assert line["timestamp"]


def test_logs_are_json_without_locals(capsys: pytest.CaptureFixture[str]) -> None:
    """Not on a terminal each event is a JSON line on stderr; a traceback shows no variables."""
    configure_logging(Settings())
    try:
        _boom("hunter" + "2")
    except ValueError:
        structlog.get_logger("test").exception("delivery.bug", connection="hubspot")
    finally:
        structlog.reset_defaults()

    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["level"], line["connection"]) == ("delivery.bug", "error", "hubspot")
    assert "ValueError: boom" in line["exception"]
    assert "hunter2" not in line["exception"]
