import io
import json
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors import registry
from connectors.cli.commands import connections, connectors
from connectors.connections.standing import Standing
from connectors.connections.store import Connections
from connectors.sandbox.faults import Faults
from connectors.sandbox.hubspot import HubSpot
from connectors.sandbox.server import Sandbox
from tests.connectors.sandbox_thread import running
from topics.cli.console import run
from topics.cli.context import CommandContext
from topics.errors import LogUnavailable
from topics.names import DEFAULT
from topics.settings import Settings, load_settings
from topics.store import open_store

KEY = "a long random text for tests"


class CommandLine:
    """Runs commands as the front door does; ``said`` and ``warned`` are what the last one wrote."""

    def __init__(self, load: Callable[[], Settings], capsys: pytest.CaptureFixture[str]) -> None:
        self._load = load
        self._capsys = capsys
        self.said = ""
        self.warned = ""

    def __call__(self, *arguments: str) -> int:
        group = connectors if arguments[0] == "connectors" else connections
        code = run(group, CommandContext(self._load), arguments[1:] if group is connectors else arguments)
        self.said, self.warned = self._capsys.readouterr()
        return code

    def json(self, *arguments: str) -> Any:
        assert self(*arguments, "--json") == 0, self.warned
        return json.loads(self.said)

    def context(self) -> CommandContext:
        return CommandContext(self._load)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Settings]:
    monkeypatch.chdir(tmp_path)
    urls = {name: f"sqlite:///{tmp_path}/{name}.db" for name in ("log", "store")}
    return lambda: load_settings(**urls, secret_key=KEY)


@pytest.fixture
def desk(
    settings: Callable[[], Settings], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> CommandLine:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    return CommandLine(settings, capsys)


@pytest.fixture
def context(desk: CommandLine) -> Iterator[CommandContext]:
    context = desk.context()
    yield context
    context.close()


def emit(context: CommandContext, topic: str, count: int) -> None:
    producer = context.log().producer()
    for _ in range(count):
        producer.send(topic, key=None, value=b"{}")
    producer.close()


def test_add_makes_connection_and_topic(desk: CommandLine, context: CommandContext) -> None:
    """What was said on the command line is stored, each setting by its type, and the topic is there."""
    added = desk.json(
        "add", "--no-test", "HubSpot EU", "--connector", "hubspot", "--secret", "access_token=pat-1",
        "--partitions", "3",
        "--set", 'unique={"company": "external_id"}', "--set", "timeout_seconds=5", "--rate", "10", "--daily", "1000",
        "--on-unknown", "add=retry", "--on-dead", "park", "--coalesce",
    )  # fmt: skip

    assert added["settings"] == {"unique": {"company": "external_id"}, "timeout_seconds": 5}
    assert added["limits"] == {"rate": 10, "daily": 1000}
    assert added["policy"] == {"on_unknown": {"add": "retry"}, "on_dead": "park", "coalesce": True}
    assert (added["slug"], added["version"]) == ("hubspot-eu", "1.0")
    assert context.log().topics("writeback.events.") == {"writeback.events.hubspot-eu": 3}


def test_the_connector_may_be_the_name(desk: CommandLine) -> None:
    """``add slack`` needs no --connector."""
    assert desk.json("add", "--no-test", "Slack", "--secret", "access_token=x")["connector"] == "slack"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["X", "--connector", "nothing"], 1, "there are " + ", ".join(registry.names())),
        (["hubspot"], 1, "bearer needs access_token"),
        (["http", "--secret", "access_token=x"], 1, "base_url is missing"),
        (["hubspot", "--secret", "access_token=x", "--set", "shoe=43"], 1, "no setting 'shoe' (there are access_token"),
        (["hubspot", "--set", "access_token=x"], 1, "access_token is a secret"),
        (["hubspot", "--set", "unique=[}"], 2, "--set unique=[}: it is a JSON value of type object"),
        (["hubspot", "--set", "shoe"], 2, "--set shoe: it is NAME=VALUE"),
        (["http", "--set", "base_url=https://x.example", "--set", "success_when=ok =="], 1, "'ok ==' is not JMESPath"),
        (["hubspot", "--secret", "access_token="], 2, "--secret access_token: it is empty"),
        (["hubspot", "--on-unknown", "ad=retry"], 2, "one of add, update, upsert, delete, message"),
        (["!?", "--connector", "slack", "--secret", "access_token=x"], 1, "has no letter or digit"),
    ],
)
def test_add_says_what_is_wrong(desk: CommandLine, arguments: list[str], code: int, says: str) -> None:
    """Each mistake is one message that names it and lists what there is; nothing is stored."""
    assert desk("add", "--no-test", *arguments) == code
    assert says in desk.warned
    assert desk.json("list") == []


def test_a_taken_name_is_refused(desk: CommandLine) -> None:
    """A second connection of the same name, in other letters, is refused."""
    desk("add", "--no-test", "slack", "--secret", "access_token=x")

    assert desk("add", "--no-test", "SLACK", "--connector", "slack", "--secret", "access_token=x") == 1
    assert "there is a connection 'slack' already" in desk.warned


def test_a_connection_without_topic_is_taken_back(desk: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the log cannot make the topic, there is no connection either."""

    def refuse(*_: object) -> None:
        raise LogUnavailable("the log is away")

    monkeypatch.setattr("topics.sqlite.log.SqliteLog.ensure_topics", refuse)

    assert desk("add", "--no-test", "slack", "--secret", "access_token=x") == 1
    assert "the log is away" in desk.warned
    assert desk.json("list") == []


def test_a_topic_that_was_there_already_is_mentioned(desk: CommandLine, context: CommandContext) -> None:
    """Events that wait in an old topic will be delivered, and that is said."""
    desk("add", "--no-test", "slack", "--secret", "access_token=x")
    emit(context, DEFAULT.events_topic("slack"), 2)
    Connections(context.store()).remove("slack")
    desk("add", "--no-test", "slack", "--secret", "access_token=x")

    assert "was there already, with 2 events" in desk.warned


@pytest.mark.parametrize(
    ("secret", "kept"),
    [("access_token=pat-1", "encrypted"), ("access_token=-", "encrypted"), ("access_token=env:PAT", "env:PAT")],
)
def test_ways_to_give_a_secret(
    desk: CommandLine, context: CommandContext, monkeypatch: pytest.MonkeyPatch, secret: str, kept: str
) -> None:
    """On the command line, on stdin, or as a reference; never shown again."""
    monkeypatch.setattr("sys.stdin", io.StringIO("pat-1\n"))
    monkeypatch.setenv("PAT", "pat-1")
    desk("add", "--no-test", "hubspot", "--secret", secret)
    shown = desk.json("show", "hubspot")
    store = Connections(context.store(), KEY)

    assert shown["secrets"] == {"access_token": kept}
    assert "pat-1" not in str(shown)
    assert store.secrets(store.get("hubspot")) == {"access_token": "pat-1"}


def test_a_person_is_asked_for_the_secret(
    desk: CommandLine, context: CommandContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a terminal the missing credentials are asked for, hidden."""
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("click.prompt", lambda text, **options: f"{text}:{options['hide_input']}")
    desk("add", "--no-test", "hubspot")
    store = Connections(context.store(), KEY)

    assert store.secrets(store.get("hubspot")) == {"access_token": "access_token:True"}


def _at_a_terminal(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a person is asked for, in order."""
    asked: list[str] = []
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)

    def answer(text: str, **_: Any) -> str:
        asked.append(text)
        return "env:TOKEN"

    monkeypatch.setattr("click.prompt", answer)
    return asked


@pytest.mark.parametrize(
    ("arguments", "asked"),
    [
        ([], ["access_token"]),
        (["--secret", "access_token"], ["access_token"]),
        (["--secret", "access_token=env:A"], []),
        (["--set", "base_url=https://proxy.example.com"], ["access_token"]),
        (["--set", "auth=oauth2", "--set", "client_id=i"], ["client_secret", "refresh_token"]),
        (["--set", "client_id=i", "--secret", "client_secret=env:A"], []),
        (["--set", "client_id=i", "--secret", "refresh_token=env:A"], ["client_secret"]),
    ],
)
def test_only_what_is_missing_is_asked_for(
    desk: CommandLine, monkeypatch: pytest.MonkeyPatch, arguments: list[str], asked: list[str]
) -> None:
    """The secrets of the way in that was begun, and none that was given."""
    questions = _at_a_terminal(monkeypatch)

    assert (desk("add", "--no-test", "hubspot", *arguments), questions) == (0, asked), desk.warned


@pytest.mark.parametrize(
    ("arguments", "asked"),
    [
        ([], ["host (the mail server, such as smtp.example.com)", "sender (whom messages are from: ...)"]),
        (["--set", "host=h", "--set", "sender=a@x.org"], []),
        (["--set", "host=h", "--set", "sender=a@x.org", "--set", "username=me"], ["password"]),
        (["--set", "host=h", "--set", "sender=a@x.org", "--set", "auth=basic"], ["password"]),
    ],
)
def test_settings_that_are_missing_are_asked_for(
    desk: CommandLine, monkeypatch: pytest.MonkeyPatch, arguments: list[str], asked: list[str]
) -> None:
    """With what they are; and the password of a user that was named."""
    questions = _at_a_terminal(monkeypatch)
    code = desk("add", "--no-test", "email", *arguments)

    assert code == (1 if "auth=basic" in arguments else 0), desk.warned  # of that way, the user name is missing, too
    assert [re.sub(r"from: .*", "from: ...)", one) for one in questions] == asked


def test_another_way_in_asks_for_its_secrets(desk: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that is told to use OAuth needs other secrets, and asks for them."""
    desk("add", "--no-test", "hubspot", "--secret", "access_token=x")
    questions = _at_a_terminal(monkeypatch)

    assert desk("set", "hubspot", "--set", "auth=oauth2", "--set", "client_id=i") == 0
    assert questions == ["client_secret", "refresh_token"]


def test_without_a_key_a_person_hears_it_before_typing(
    tmp_path: Path, desk: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No secret is typed in vain: without WRITEBACK_SECRET_KEY only a reference can be kept."""
    urls = {name: f"sqlite:///{tmp_path}/{name}.db" for name in ("log", "store")}
    monkeypatch.setattr(desk, "_load", lambda: load_settings(**urls))
    _at_a_terminal(monkeypatch)

    assert desk("add", "--no-test", "hubspot") == 0
    assert "WRITEBACK_SECRET_KEY is not set, so a secret can only be a reference: env:VARIABLE" in desk.warned


def test_a_script_is_told_what_to_give(desk: CommandLine) -> None:
    """Where nobody can be asked, the message says what is missing and both ways to give it."""
    assert desk("add", "--no-test", "hubspot") == 1
    assert "bearer needs access_token or oauth2 needs client_id and client_secret" in desk.warned
    assert "--secret access_token asks for it, access_token=env:VARIABLE refers to it" in desk.warned
    assert "base_url" not in desk.warned


def test_set_changes_what_is_named(desk: CommandLine) -> None:
    """``set`` merges, ``--unset`` removes, and the result is checked like a new one."""
    desk("add", "--no-test", "hubspot", "--secret", "access_token=x", "--rate", "5", "--on-unknown", "add=retry")
    changed = desk.json(
        "set", "hubspot", "--set", "timeout_seconds=9", "--unset", "rate", "--on-unknown", "update=retry"
    )

    assert (changed["settings"], changed["limits"]) == ({"timeout_seconds": 9}, {})
    assert changed["policy"] == {"on_unknown": {"add": "retry", "update": "retry"}}
    assert desk("set", "hubspot", "--unset", "access_token") == 1
    assert "credentials are missing" in desk.warned


def test_rename_pause_resume(desk: CommandLine) -> None:
    """A new name leaves the slug; a pause has a reason and ends with resume."""
    desk("add", "--no-test", "hubspot", "--secret", "access_token=x")
    renamed = desk.json("rename", "hubspot", "CRM of sales")
    paused = desk.json("pause", "crm of sales", "--reason", "migration")
    resumed = desk.json("resume", "hubspot")

    assert (renamed["name"], renamed["slug"]) == ("CRM of sales", "hubspot")
    assert (paused["state"], paused["state_reason"]) == ("paused", "migration")
    assert (resumed["state"], resumed["state_reason"]) == ("active", "")


def test_remove_refuses_while_events_are_pending(desk: CommandLine, context: CommandContext) -> None:
    """It says how many; with --force they go with the topic, and that is said too."""
    desk("add", "--no-test", "slack", "--secret", "access_token=x")
    emit(context, DEFAULT.events_topic("slack"), 3)

    assert desk.json("show", "slack")["pending"] == 3
    assert desk("remove", "slack") == 1
    assert "3 events are pending for slack in writeback.events.slack" in desk.warned
    assert desk("remove", "slack", "--force") == 0
    assert "3 pending events were deleted" in desk.said
    assert context.log().topics("writeback.events.") == {}
    assert desk.json("list") == []


def test_an_unknown_connection_lists_the_names(desk: CommandLine) -> None:
    """Every command that takes a name answers a slip of the pen in the same way."""
    desk("add", "--no-test", "slack", "--secret", "access_token=x")

    for command in ("show", "test", "pause", "resume", "remove", "upgrade", "set"):
        assert desk(command, "slakc") == 1
        assert "there are: slack. Did you mean 'slack'?" in desk.warned


def test_the_probe_asks_the_vendor(desk: CommandLine) -> None:
    """``test`` says whether the vendor answers and takes the credentials; exit code 1 when not."""
    with running(Sandbox(latency=0, hubspot=HubSpot(Faults(), tokens=frozenset({"pat-1"})))) as sandbox:
        common = ["--connector", "hubspot", "--set", f"base_url={sandbox.url}", "--set", "allow_private_addresses=true"]
        desk("add", "good", *common, "--secret", "access_token=pat-1")
        desk("add", "--no-test", "bad", *common, "--secret", "access_token=pat-2")
        good = desk.json("test", "good")
        bad = desk("test", "bad", "--json")

    assert good == {"connection": "good", "ok": True, "reason": "it answers, and the credentials are good"}
    assert (bad, json.loads(desk.said)["ok"]) == (1, False)


def test_upgrade_uses_the_newest_version(desk: CommandLine, context: CommandContext) -> None:
    """A connection is pinned to its version until it is upgraded."""
    desk("add", "--no-test", "slack", "--secret", "access_token=x")
    Connections(context.store(), KEY).update("slack", version="0.9")

    assert desk("upgrade", "slack") == 0
    assert desk.said == "slack uses slack 1.0 (it was 0.9)\n"
    assert desk.json("upgrade", "slack")["version"] == "1.0"


def test_the_key_is_changed(
    desk: CommandLine, settings: Callable[[], Settings], capsys: pytest.CaptureFixture[str]
) -> None:
    """new-key, both keys in the variable, rotate-secrets, then the new one alone opens the secrets."""
    desk("add", "--no-test", "slack", "--secret", "access_token=xoxb-1")
    desk("new-key")
    key = desk.said.strip()
    both = CommandLine(lambda: settings().model_copy(update={"secret_key": f"{key},{KEY}"}), capsys)
    assert both("rotate-secrets") == 0

    store = Connections(open_store(settings().store), key)
    assert store.secrets(store.get("slack")) == {"access_token": "xoxb-1"}


def test_the_catalogue(desk: CommandLine) -> None:
    """``connectors`` lists what there is, and shows the settings and functions of one."""
    assert [row["name"] for row in desk.json("connectors", "list")] == [*registry.names()]
    rows = desk.json("connectors", "show", "sql")["functions"]
    assert ("any", "upsert", 500) in {(row["object"], row["operation"], row["batch"]) for row in rows}
    shown = desk.json("connectors", "show", "hubspot")
    known = {(row["object"], row["operation"]): row for row in shown["functions"]}
    assert (known["contact", "update"]["required"], known["contact", "update"]["optional"]) == (
        ["id"],
        ["idProperty", "name"],
    )
    assert known["contact", "findone"]["required"] == ["searchfield", "searchterm"]
    assert next(row for row in shown["settings"] if row["name"] == "access_token")["type"] == "secret"
    assert desk("connectors", "show", "hubspot") == 0
    assert "contact\tadd\t\tassociations, name, any field\t100" in desk.said


def test_the_list_says_how_each_is(desk: CommandLine, context: CommandContext) -> None:
    """What a worker says, what to do about it, and that none has the other: in words and as JSON."""
    for name in ("one", "two"):
        assert desk("add", "--no-test", name, "--connector", "http", "--set", "base_url=https://x.example") == 0
    down = Standing("one", "down", "HTTP 401", 1_700_000_000.0, 1_700_000_060.0)
    Connections(context.store()).saw("w1", "here:7", 1, [down])

    listed = {row["name"]: row["status"] for row in desk.json("list")}

    assert listed["one"] == {
        "state": "down",
        "reason": "HTTP 401",
        "since": 1_700_000_000.0,
        "until": 1_700_000_060.0,
        "advice": "`writeback connections set one` corrects its settings, `writeback connections resume one` tries now",
    }
    assert listed["two"]["state"] == "active"
    for arguments in (("list",), ("show", "one")):
        assert desk(*arguments) == 0
        assert "down, next try at 2023-11-14 22:14:20Z: HTTP 401 (since 2023-11-14 22:13:20Z)" in desk.said


def test_resume_says_what_it_ends(desk: CommandLine, context: CommandContext) -> None:
    """A connection that is throttled is changed by it, so that its workers try now; the answer says what it was."""
    desk("add", "--no-test", "one", "--connector", "http", "--set", "base_url=https://x.example")
    store = Connections(context.store())
    store.saw("w1", "here:7", 1, [Standing("one", "throttled", "DAILY", 1_700_000_000.0, 1_700_000_060.0)])
    before = store.get("one").revision

    assert desk("resume", "one") == 0
    assert desk.said.startswith("Resumed one: it was throttled until 2023-11-14 22:14:20Z: DAILY")
    assert store.get("one").revision > before


def test_the_line_to_paste(desk: CommandLine) -> None:
    """For a connector, and for a connection under its own name; in Python and for the command line."""
    assert desk("connectors", "snippet", "hubspot", "add", "contact") == 0
    assert desk.said == (
        'import pq\n\nhubspot = pq.connect("hubspot")\nhubspot.add("contact", email="john@acme.com", name="John Doe")\n'
        "\n# or on the command line\n"
        """writeback emit hubspot add contact '{"email": "john@acme.com", "name": "John Doe"}'\n"""
    )
    assert desk("add", "--no-test", "My CRM", "--connector", "hubspot", "--secret", "access_token=t") == 0
    assert desk("connectors", "snippet", "my crm", "delete", "contact") == 0
    assert 'My_CRM = pq.connect("My CRM")\nMy_CRM.delete("contact", id=101)\n' in desk.said
    assert """writeback emit 'My CRM' delete contact '{"id": 101}'""" in desk.said


def test_every_line_to_paste_is_a_line(desk: CommandLine) -> None:
    """Each is Python, each command is read back, and the connector has its function."""
    for name in registry.names():
        for one in desk.json("connectors", "snippet", name):
            compile(one["python"], name, "exec")
            if one["command"]:
                words = shlex.split(one["command"])
                assert (words[:5], isinstance(json.loads(words[5]), dict)) == (
                    ["writeback", "emit", name, one["operation"], one["object"]],
                    True,
                )


def test_a_line_for_what_is_not_there(desk: CommandLine) -> None:
    """The functions there are; and where a unique property is missing, how to name one."""
    assert desk("connectors", "snippet", "hubspot", "destroy", "contact") == 1
    assert "unknown function contact.destroy: connector hubspot 1.0 has contact.add" in desk.warned
    assert desk("connectors", "snippet", "hubspot", "upsert", "company") == 1
    assert """--set unique='{"company": "external_id"}'""" in desk.warned
