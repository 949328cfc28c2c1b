from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from dead_letter.cli.commands import dead_letters
from dead_letter.cli.options import moment
from dead_letter.letter.letter import Attempt, Letter
from dead_letter.store.filters import Filter
from dead_letter.store.parking import Parking
from dead_letter.store.rows import Summary
from dead_letter.store.store import LetterStore
from tests.dead_letter.samples import START, a_letter, a_record, an_event, claimed, publish
from topics.cli.console import FAILED, INCOMPLETE, INTERRUPTED, OK, USAGE, run
from topics.cli.context import CommandContext
from topics.errors import LogUnavailable
from topics.event import codec
from topics.event.unpark import unpark_of
from topics.log import Log, Partition
from topics.names import DEFAULT
from topics.open import open_log
from topics.settings import Settings
from topics.store import open_store

TOPIC = "writeback.events.hubspot"
FIRST, SECOND, THIRD = (
    a_letter(0, event=an_event(key="0", emial="ada@x.org")),
    a_letter(1, reason="Property 'naem' does not exist"),
    a_letter(2, reason="busy", status=503, verdict="exhausted"),
)
_PARKED = [a_letter(offset, event=an_event(key="it's", n=offset)) for offset in range(3)]
WAITING = [_PARKED[0], *(replace(letter, verdict="blocked", blocked_by=_PARKED[0].id) for letter in _PARKED[1:])]


class CommandLine:
    """The commands on a log and a store of their own."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._settings = Settings(log=f"sqlite:///{folder}/log.db", store=f"sqlite:///{folder}/store.db")
        self._capsys = capsys
        self.log = open_log(self._settings.log)
        self.log.ensure_topics([*DEFAULT.system_topics, DEFAULT.events_spec("hubspot")])
        self.err = ""
        self.held_back: dict[str, str] = {}

    def bury(self, *letters: Letter) -> None:
        publish(self.log, *letters)

    def say(self, *args: str, code: int = OK) -> str:
        self._capsys.readouterr()
        got = run(dead_letters, CommandContext(lambda: self._settings, held_back=lambda _: self.held_back), args)
        out, self.err = self._capsys.readouterr()
        assert got == code, self.err
        return out

    def json(self, *args: str, code: int = OK) -> Any:
        return json.loads(self.say(*args, "--json", code=code))

    def sent(self) -> list[dict[str, Any]]:
        """The fields of what lies on the topic of events."""
        place = Partition(TOPIC, 0)
        end = self.log.end_offsets([place])[place]
        reader = self.log.reader({place: 0})
        records = reader.poll(5.0) if end else []
        reader.close()
        return [codec.decode(record).fields for record in records if unpark_of(record) is None]

    def closing_records(self) -> list[str]:
        """The letters that they name."""
        reader = self.log.reader({Partition(TOPIC, 0): 0})
        records = reader.poll(5.0)
        reader.close()
        return [unpark.letter for record in records if (unpark := unpark_of(record))]

    def park(self, *letters: Letter) -> None:
        """The worker diverts these, one behind the other; they are letters of one record."""
        store = open_store(self._settings.store)
        parking = Parking(store)
        for letter in letters:
            offset, barred = letter.record.offset, letter.replay_of is not None
            key = f"{letter.object}/{letter.event_key}"
            parking.park("hubspot", key, letter.id, offset=offset, barred=barred, now=START)
        store.dispose()
        self.bury(*letters)


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[CommandLine]:
    desk = CommandLine(tmp_path, capsys)
    yield desk
    desk.log.close()


def test_list_is_never_behind(desk: CommandLine) -> None:
    """What is on the topic is listed, the newest first, though no archive runs."""
    nothing = desk.say("list")
    desk.bury(FIRST, SECOND)
    rows = desk.say("list").splitlines()

    assert (nothing, len(rows)) == ("", 3)
    assert rows[1].split("\t")[:4] == [SECOND.id[:12], "2023-11-14 22:13:21Z", "hubspot", "update contact/1"]


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ((), [THIRD, SECOND, FIRST]),
        (("--connection", "HubSpot"), [THIRD, SECOND, FIRST]),
        (("--connection", "slack"), []),
        (("--reason", "EMIAL"), [FIRST]),
        (("--status", "503"), [THIRD]),
        (("--since", "2023-11-14T22:13:21"), [THIRD, SECOND]),
        (("--since", "1h"), []),
        (("--state", "all", "--limit", "2"), [THIRD, SECOND]),
        (("--before", SECOND.id), [FIRST]),
        (("--state", "discarded"), []),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else str(len(value)),  # letters differ by run
)
def test_list_filters(desk: CommandLine, options: tuple[str, ...], found: list[Letter]) -> None:
    """Each filter lists what it names."""
    desk.bury(FIRST, SECOND, THIRD)

    assert [letter["id"] for letter in desk.json("list", *options)] == [letter.id for letter in found]


def test_groups(desk: CommandLine) -> None:
    """Letters of one problem are one line."""
    desk.bury(FIRST, SECOND, THIRD)

    assert [(group["count"], group["sample"]) for group in desk.json("groups")] == [
        (2, SECOND.reason),
        (1, "busy"),
    ]
    assert len(desk.say("groups").splitlines()) == 3


def test_show_tells_the_whole_story(desk: CommandLine) -> None:
    """Attempts, the vendor's words, the event, and what to do next are on the page."""
    attempts = (
        Attempt(1, START, "retry", "busy", 12.0, 503, "try later", "req-7"),
        Attempt(20, START + 60, "rejected", "no such property", 51.4, 400, '{"message":"emial?"}', "req-8"),
    )
    letter = replace(FIRST, attempts=attempts, omitted=18, excerpt="", possible_duplicate=True)
    desk.bury(letter)
    page = desk.say("show", letter.id[:8])

    for words in (
        letter.id,
        "rejected, HTTP 400",
        "... 18 more, not kept",
        "no such property",
        "request req-8",
        '"message": "emial?"',
        '"emial": "ada@x.org"',
        "duplicate    possible",
        f"writeback dead-letters edit {letter.id[:12]} --set FIELD=VALUE",
    ):
        assert words in page


@pytest.mark.parametrize(
    "verdict",
    [
        "rejected",
        "malformed",
        "foreign",
        "unknown-connection",
        "unknown-function",
        "exhausted",
        "unknown-outcome",
        "blocked",
    ],
)
def test_show_knows_every_verdict(desk: CommandLine, verdict: str) -> None:
    """Whatever the verdict, the page names the commands that help."""
    record = replace(a_record(), value=b"\xff{" if verdict == "malformed" else a_record().value)
    desk.bury(replace(FIRST, verdict=verdict, record=record, blocked_by="abcdef"))
    page = desk.say("show", FIRST.id)

    assert "What to do next" in page
    assert "writeback dead-letters" in page or "writeback connectors" in page


def test_show_of_nothing(desk: CommandLine) -> None:
    """An id that is not there is one line and exit code 1."""
    desk.say("show", "nothing", code=FAILED)

    assert "no dead letter 'nothing'" in desk.err


def test_edit_and_replay(desk: CommandLine) -> None:
    """The way back: correct the field, see the difference, send it, and it is on its topic."""
    desk.bury(FIRST)
    diff = desk.say("edit", FIRST.id[:10], "--set", "email=ada@x.org", "--unset", "emial", "--set", "age=7")
    done = desk.say("replay", FIRST.id[:10])

    assert '-    "emial": "ada@x.org"' in diff
    assert '+    "email": "ada@x.org",' in diff
    assert done == "1 replayed\n"
    assert desk.sent() == [{"email": "ada@x.org", "age": 7}]
    shown = desk.json("show", FIRST.id)
    assert (shown["state"], shown["event"]["fields"]) == ("replayed", {"emial": "ada@x.org"})
    assert [action["what"] for action in shown["trail"]] == ["edit", "replay"]


def test_an_edit_keeps_the_type_of_a_field(desk: CommandLine) -> None:
    """A text that looks like a number stays text; --set-json says otherwise; every digit of a number stays."""
    desk.bury(FIRST)
    fields = '{"version": "1.10", "amount": 1, "fax": "1e5"}'
    desk.say("edit", FIRST.id, "--fields", fields)
    desk.say("edit", FIRST.id, "--set", "version=1.20", "--set", "amount=12345678901234567.89", "--set-json", "fax=7")
    desk.say("replay", FIRST.id)

    assert desk.sent() == [{"version": "1.20", "amount": Decimal("12345678901234567.89"), "fax": 7}]
    assert '"amount": 12345678901234567.89' in desk.say("show", FIRST.id, "--json")


@pytest.mark.parametrize(
    ("typed", "value"),
    [("7", 7), ("1.5", 1.5), ("true", True), ("null", None), ("[1]", [1]), ("Ada", "Ada"),
     ("12345678901234567.89", "="), ("1.20", "1.20"), ("1e6", "1e6"), ("-0", "-0"), ("007", "007"), ("1.0", 1.0)],
)  # fmt: skip
def test_a_new_field_is_what_was_typed(typed: str, value: Any, desk: CommandLine) -> None:
    """A number where it writes back as it was typed; a version, a code or a phone number stays text."""
    desk.bury(FIRST)
    desk.say("edit", FIRST.id, "--fields", '{"empty": null}')
    desk.say("edit", FIRST.id, "--set", f"new={typed}", "--set", f"empty={typed}")
    desk.say("replay", FIRST.id)

    expected = Decimal(typed) if value == "=" else value
    assert desk.sent() == [{"new": expected, "empty": expected}]


def test_an_edit_can_be_taken_back(desk: CommandLine) -> None:
    """After --revert the original goes."""
    desk.bury(FIRST)
    desk.say("edit", FIRST.id, "--fields", '{"x": 1}')
    desk.say("edit", FIRST.id, "--revert")
    desk.say("replay", FIRST.id)

    assert desk.sent() == [{"emial": "ada@x.org"}]


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--set", "email"), USAGE, "FIELD=VALUE"),
        (("--fields", "[1]"), USAGE, "not a JSON object"),
        (("--fields", "{"), USAGE, "not JSON"),
        (("--set-json", "emial=x@"), USAGE, "--set-json emial is not JSON"),
        (("--unset", "nothing"), FAILED, "there is emial"),
        (("--operation", "explode"), FAILED, "explode"),
        (("--object", "a/b"), FAILED, "object"),
        (("--set", "x=" + "y" * 1_048_576), FAILED, "1,048,576"),
    ],
    ids=str,
)
def test_a_wrong_edit_says_why(desk: CommandLine, options: tuple[str, ...], code: int, words: str) -> None:
    """An edit that makes no event is refused with what is wrong, and the letter stays as it was."""
    desk.bury(FIRST)
    desk.say("edit", FIRST.id, *options, code=code)

    assert words in desk.err
    assert desk.json("show", FIRST.id)["edited"] is None


def test_a_malformed_letter_is_given_an_event(desk: CommandLine) -> None:
    """What is no event says what it needs; given that, it goes."""
    record = replace(a_record(), value=b"{nonsense")
    broken = replace(FIRST, verdict="malformed", record=record, object=None, operation=None, event_key=None)
    desk.bury(broken)
    desk.say("edit", broken.id, "--set", "a=1", code=FAILED)
    needed = desk.err
    desk.say("replay", broken.id, code=INCOMPLETE)
    desk.say("edit", broken.id, "--set", "a=1", "--operation", "add", "--object", "contact")
    desk.say("replay", broken.id)

    assert "--operation" in needed
    assert desk.sent() == [{"a": 1}]


def test_dry_run_sends_nothing(desk: CommandLine) -> None:
    """It says what would happen to each, and leaves everything as it is."""
    desk.bury(FIRST, replace(SECOND, verdict="foreign"))
    plan = desk.json("replay", "--all", "--dry-run", code=INCOMPLETE)["items"]

    assert [(item["id"], item["fate"]) for item in plan] == [(FIRST.id, "eligible"), (SECOND.id, "ineligible")]
    assert desk.sent() == []
    assert len(desk.json("list")) == 2


def test_replay_by_filter_asks_first(desk: CommandLine) -> None:
    """Without a person to ask, --yes is needed; then exactly what the filter names goes."""
    desk.bury(FIRST, SECOND, THIRD)
    desk.say("replay", "--reason", "does not exist", code=USAGE)
    asked = desk.err
    items = desk.json("replay", "--reason", "does not exist", "--yes")["items"]

    assert "--yes" in asked
    assert [item["outcome"] for item in items] == ["replayed", "replayed"]
    assert [letter["id"] for letter in desk.json("list")] == [THIRD.id]


@pytest.fixture
def unknown() -> Letter:
    return replace(FIRST, verdict="unknown-outcome", reason="a worker was lost while this call was under way")


def test_what_may_have_happened_is_not_repeated_unasked(desk: CommandLine, unknown: Letter) -> None:
    """Not even when it is named, for a machine, or where nobody can be asked; with --yes it is."""
    desk.bury(unknown, THIRD)
    for options in ((), ("--json",)):
        desk.say("replay", unknown.id, THIRD.id, *options, code=USAGE)
        assert "1 of them may have been carried out already" in desk.err
        assert "--yes" in desk.err
    assert desk.sent() == []

    items = desk.json("replay", unknown.id, THIRD.id, "--yes")["items"]

    assert [item["outcome"] for item in items] == ["replayed", "replayed"]


@pytest.mark.parametrize(("said", "sent"), [("n\n", 0), ("y\n", 1)])
def test_a_person_is_asked_about_what_may_have_happened(
    desk: CommandLine, unknown: Letter, monkeypatch: pytest.MonkeyPatch, said: str, sent: int
) -> None:
    """On a terminal: what it is about, and a question; only a yes repeats it."""
    desk.bury(unknown)
    person, terminal = os.openpty()
    os.write(person, said.encode())
    with os.fdopen(terminal) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        desk.say("replay", unknown.id, code=OK if sent else INTERRUPTED)
    os.close(person)

    assert "look at the destination first" in desk.err
    assert len(desk.sent()) == sent


def test_replay_of_some(desk: CommandLine) -> None:
    """When not everything went, the counts say so, and the exit code is 3."""
    desk.bury(FIRST, replace(SECOND, verdict="foreign"))
    done = desk.say("replay", "--all", "--yes", code=INCOMPLETE)

    assert done == "1 replayed, 1 ineligible\n"
    assert "1 x it is foreign" in desk.err


def test_superseded_letters_wait_for_a_word(desk: CommandLine) -> None:
    """An older event goes only when an operator insists."""
    older, newer = (a_letter(offset, event=an_event(key="7", n=offset)) for offset in (0, 1))
    desk.bury(older, newer)
    desk.say("replay", older.id, code=INCOMPLETE)
    before = desk.sent()
    desk.say("replay", older.id, "--superseded")

    assert (before, desk.sent()) == ([], [{"n": 0}])


def test_parked(desk: CommandLine) -> None:
    """Each parked key with its connection, since when, how many letters wait, and what sends them all."""
    nothing = desk.json("parked")
    desk.park(*WAITING)
    row = desk.say("parked").splitlines()[1].split("\t")
    hint = desk.err
    [key] = desk.json("parked", "--connection", "HubSpot")

    assert nothing == []
    assert row == ["hubspot", "contact/it's", "2023-11-14 22:13:20Z", "3", "", WAITING[0].id[:12]]
    assert """writeback dead-letters replay --connection hubspot --object contact --key 'it'"'"'s'""" in hint
    assert (key["first"], key["last"], key["barred"]) == (WAITING[0].id, WAITING[2].id, False)
    assert key["open"] == [letter.id for letter in WAITING]
    assert desk.json("parked", "--connection", "slack") == []


def test_show_of_a_blocked_letter(desk: CommandLine) -> None:
    """It names the first letter, and what sends all of the record; the first one says how many wait behind it."""
    desk.park(*WAITING)
    first, blocked = desk.say("show", WAITING[0].id), desk.say("show", WAITING[2].id)
    told = desk.json("show", WAITING[1].id)

    assert "contact/it's since 2023-11-14 22:13:20Z, 0 open before this one, 2 after it" in first
    assert "replay --connection hubspot --object contact --key" in first
    assert f"blocked by   {WAITING[0].id}" in blocked
    assert f"waits behind letter {WAITING[0].id[:12]} of the same record" in blocked
    assert (told["parked"]["first"], told["before"], told["after"]) == (
        WAITING[0].id,
        [WAITING[0].id],
        [WAITING[2].id],
    )


def test_a_blocked_letter_behind_which_all_is_done(desk: CommandLine) -> None:
    """What it waited for being gone, it is sent like any other."""
    desk.park(*WAITING[:2])
    desk.say("discard", WAITING[0].id, "--reason", "test data", "--yes")

    assert f"done with. Send it:\n  writeback dead-letters replay {WAITING[1].id[:12]}" in desk.say(
        "show", WAITING[1].id
    )


def test_list_finds_the_blocked_ones(desk: CommandLine) -> None:
    """They have a verdict of their own."""
    desk.park(*WAITING)

    assert len(desk.json("list", "--verdict", "blocked")) == 2


def test_replay_of_a_parked_key(desk: CommandLine) -> None:
    """The plan and the outcome say that the key will flow again."""
    desk.park(*WAITING)
    plan = desk.say("replay", "--all", "--dry-run")
    done = desk.json("replay", "--all", "--yes")

    assert plan.endswith("1 parked key will flow again when the workers get there\n")
    assert [(one["record_key"], one["flows"], one["trouble"]) for one in done["keys"]] == [("contact/it's", True, "")]
    assert desk.sent() == [{"n": 0}, {"n": 1}, {"n": 2}]


def test_replay_of_some_of_a_parked_key(desk: CommandLine) -> None:
    """What stays parked is told, with what keeps it and the command that sends all; what would overtake stays."""
    desk.park(*WAITING)
    done = desk.say("replay", WAITING[0].id)
    late = desk.json("replay", WAITING[2].id, "--dry-run", code=INCOMPLETE)["items"]

    assert done.startswith("1 replayed\ncontact/it's of hubspot stays parked: 2 letters of it still open (")
    assert "  writeback dead-letters replay --connection hubspot --object contact --key" in done
    assert [item["fate"] for item in late] == ["ineligible"]
    assert WAITING[1].id in late[0]["why"]


def test_a_closing_that_was_not_sent_is_made_up_for(desk: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A discard without a log says that the key stays parked; the next replay, of whatever, lets it go."""
    desk.park(*WAITING)
    with monkeypatch.context() as broken:
        broken.setattr("dead_letter.replay.closing._send", lambda *_: LogUnavailable("kafka://x does not answer"))
        told = desk.say("discard", "--all", "--reason", "no", "--yes", code=INCOMPLETE)
    made_up = desk.say("replay", "--all", "--yes")

    assert told.startswith("3 discarded\ncontact/it's of hubspot stays parked: it could not be let go (kafka://x")
    assert made_up == "1 parked key will flow again when the workers get there\n"


def test_discarding_the_last_letter_frees_the_key(desk: CommandLine) -> None:
    """While letters are open the key stays parked, and that is said; with the last one it is let go."""
    desk.park(*WAITING)
    some = desk.say("discard", WAITING[0].id, WAITING[2].id, "--reason", "test data", "--yes")
    rest = desk.json("discard", WAITING[1].id, "--reason", "test data", "--yes")["keys"]

    assert some.startswith("2 discarded\ncontact/it's of hubspot stays parked: 1 letter of it still open (")
    assert [(one["record_key"], one["names"], one["flows"]) for one in rest] == [("contact/it's", WAITING[2].id, True)]
    assert desk.closing_records() == [WAITING[2].id]


@pytest.mark.parametrize("options", [(), ("--all", "--status", "400"), ("abc", "--all")])
def test_replay_must_be_told_what(desk: CommandLine, options: tuple[str, ...]) -> None:
    """Nothing, or two selections at once, is a usage error: a replay is never a guess."""
    desk.say("replay", *options, code=USAGE)

    assert "say which letters" in desk.err


def test_discard(desk: CommandLine) -> None:
    """Letters are given up for a reason that is kept, and stay readable."""
    desk.bury(FIRST, SECOND)
    desk.say("discard", FIRST.id, "--reason", "test data", code=USAGE)
    done = desk.say("discard", FIRST.id, "--reason", "test data", "--yes")
    again = desk.json("discard", FIRST.id, "--reason", "again", "--yes", code=INCOMPLETE)

    assert done == "1 discarded\n"
    assert again == {"discarded": [], "not_open": [FIRST.id], "claimed": {}, "keys": []}
    assert [letter["id"] for letter in desk.json("list", "--state", "discarded")] == [FIRST.id]
    assert "test data" in desk.say("show", FIRST.id)


def test_note(desk: CommandLine) -> None:
    """A note stands under the letter."""
    desk.bury(FIRST)
    desk.say("note", FIRST.id[:9], "asked the vendor")

    assert "asked the vendor" in desk.say("show", FIRST.id)


def test_an_export_beside_a_purge(desk: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A letter that is purged while the others are written is left out."""
    real = LetterStore.in_order

    def with_one_that_is_gone(store: LetterStore, filters: Filter) -> Iterator[Summary]:
        for letter in real(store, filters):
            yield replace(letter, id="gone")
            yield letter

    desk.bury(a_letter(0), a_letter(1))
    whole = desk.say("export")
    monkeypatch.setattr(LetterStore, "in_order", with_one_that_is_gone)

    assert whole.count("\n") == 2
    assert desk.say("export") == whole


def test_export(desk: CommandLine, tmp_path: Path) -> None:
    """One JSON object a line, with all bytes, of what the filters name."""
    desk.bury(FIRST, SECOND, THIRD)
    desk.say("export", "--status", "400", "--output", str(tmp_path / "letters.jsonl"))
    lines = (tmp_path / "letters.jsonl").read_text().splitlines()

    assert [json.loads(line)["id"] for line in lines] == [FIRST.id, SECOND.id]
    assert json.loads(lines[0])["letter"]["record"]["topic"] == TOPIC


def test_without_the_log_the_store_is_shown(desk: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log that does not answer hides no letter that is in the store, and is said."""
    desk.bury(FIRST)
    desk.say("list")

    def away(_log: Log, _store: Any) -> int:
        raise LogUnavailable("kafka://x does not answer")

    monkeypatch.setattr("dead_letter.store.archive.catch_up", away)

    assert len(desk.json("list")) == 1
    assert "may be missing: kafka://x" in desk.err
    desk.say("replay", "--all", "--yes", code=FAILED)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", START - 90),
        ("2h", START - 7_200),
        ("7d", START - 604_800),
        ("1970-01-02", 86_400.0),
        ("1970-01-01T01:00", 3_600.0),
        ("1970-01-01T01:00+01:00", 0.0),
        (None, None),
    ],
)
def test_moments(text: str | None, seconds: float | None) -> None:
    """Spans count back from now; dates are UTC unless they say another zone."""
    assert moment(text, START) == seconds


def test_a_replay_to_a_connection_that_is_held_back(desk: CommandLine) -> None:
    """It names the state and the command that ends it at once, and however often it is tried nothing is left behind."""
    desk.park(*WAITING)
    again = a_letter(9, event=an_event(key="it's", n=9), replay_of=WAITING[0].id, replay_number=1)
    desk.park(again)
    why = "hubspot is quarantined: too many refusals; `writeback connections resume hubspot` lets it go on"
    desk.held_back = {"hubspot": why}
    for _ in range(2):
        desk.say("replay", "--all", "--yes", code=INCOMPLETE)
    place = Partition(TOPIC, 0)
    told = desk.json("replay", "--all", "--dry-run", code=INCOMPLETE)

    assert {item["why"] for item in told["items"]} == {why}
    assert desk.log.end_offsets([place]) == {place: 0}
    desk.held_back = {}
    assert "3 replayed" in desk.say("replay", "--all", "--yes")


def test_an_overdue_closing_is_sent_once(desk: CommandLine) -> None:
    """While the record that lets a key go waits on its topic, no other command puts a second one there."""
    desk.park(WAITING[0])
    desk.say("discard", WAITING[0].id, "--yes", "--reason", "gone")
    for _ in range(3):
        desk.say("replay", WAITING[0].id, code=INCOMPLETE)

    assert desk.closing_records() == [WAITING[0].id]


def test_show_says_who_is_replaying(desk: CommandLine) -> None:
    """A letter that somebody is replaying now says so; otherwise it is nobody's."""
    desk.bury(FIRST)
    before = desk.json("show", FIRST.id)["claimed"]
    store = open_store(desk._settings.store)
    claimed(LetterStore(store))
    store.dispose()
    desk.say("show", FIRST.id)

    assert before is None
    assert "ada is replaying it (process 1 on here)" in desk.err
