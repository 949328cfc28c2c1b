"""Two operators at once, as two processes of the command line: every pair of what they, the worker and the archive do.

All of them get going at the same moment, over the same letters. Whatever the order turns out to be, a letter has one
fate, the trail tells it, and its event is sent as often as it says.
"""

from __future__ import annotations

import itertools
import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from dead_letter.letter.letter import Letter
from dead_letter.replay.replay import BATCH
from dead_letter.store import claims
from dead_letter.store.archive import catch_up
from dead_letter.store.filters import EVERYTHING
from dead_letter.store.purging import Purging
from tests.acceptance.operators import Operators, Pool, Program, archive, command, park
from tests.dead_letter.samples import a_letter, an_event
from topics.event import codec
from topics.log import Partition
from topics.names import DEFAULT

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]

STORES = ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)]
LETTERS = 40


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    pool = Pool(tmp_path_factory.mktemp("operators"))
    yield pool
    pool.close()


@pytest.fixture(params=STORES)
def operators(request: pytest.FixtureRequest, tmp_path: Path, pool: Pool) -> Iterator[Operators]:
    store = f"sqlite:///{tmp_path}/store.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    operators = Operators(tmp_path, store, pool)
    yield operators
    operators.close()


def letters_of(count: int) -> list[Letter]:
    return [a_letter(offset, event=an_event(key=str(offset), n=offset)) for offset in range(count)]


def commands(letters: Sequence[Letter]) -> dict[str, tuple[Program, Sequence[Sequence[str]]]]:
    """What each of them does to all letters, or to each of these where one command takes one letter."""
    return {
        "replay": (command, [["replay", "--all", "--yes"]]),
        "discard": (command, [["discard", "--all", "--yes", "--reason", "test"]]),
        "edit": (command, [["edit", letter.id, "--set", "edited=1"] for letter in letters]),
        "note": (command, [["note", letter.id, "a note"] for letter in letters]),
        "park": (park, [[letter.id, f"contact/{letter.event_key}", str(letter.record.offset)] for letter in letters]),
        "unpark": (command, [["discard", letters[0].id, "--yes", "--reason", "lets the key go"]] * 3),
        "purge": (command, [["purge", "--older-than", "0s", "--yes"]] * 4),
        "archive": (archive, []),
    }


ACTIONS = list(commands([a_letter()]))
PAIRS = list(itertools.combinations_with_replacement(ACTIONS, 2))


@pytest.mark.parametrize(("one", "other"), [pair for pair in PAIRS if "purge" not in pair])
def test_every_pair(one: str, other: str, operators: Operators) -> None:
    """Each letter has one fate, which its trail tells; what was discarded was not sent, what was sent was sent once."""
    letters = letters_of(LETTERS)
    operators.bury(letters)
    some = letters if "edit" not in (one, other) and "note" not in (one, other) else letters[:8]
    if "unpark" in {one, other}:
        operators.store.parking.park("hubspot", "contact/0", letters[0].id, offset=0, barred=False, now=1.0)
    said = _side_by_side(operators, *(commands(some)[what] for what in (one, other)))

    _reckon(operators, said)
    fates = Counter(letter.state for letter in operators.letters())
    assert fates.total() == LETTERS
    if "replay" in {one, other} and not {"discard", "unpark"} & {one, other}:
        assert fates == {"replayed": LETTERS}, said
    if "discard" in {one, other} and "replay" not in {one, other}:
        assert fates == {"discarded": LETTERS}, said
    if {one, other} == {"note"}:
        notes = Counter(len(operators.store.trail(letter.id)) for letter in some)
        assert notes == {2: len(some)}


@pytest.mark.parametrize("other", ACTIONS)
def test_every_pair_with_a_purge(other: str, operators: Operators) -> None:
    """It takes what has ended, whole, and nothing that is to be sent or is waited for; nothing comes back."""
    letters = letters_of(LETTERS)
    parked, opened, ended = letters[0], letters[:20], letters[20:]
    operators.bury(letters)
    catch_up(operators.log, operators.store)
    operators.store.parking.park("hubspot", "contact/0", parked.id, offset=0, barred=False, now=1.0)
    operators.store.discard([letter.id for letter in ended], "over", who="ada", now=1.0)
    topic = Partition(DEFAULT.dead_letter, 0)
    operators.log.trim({topic: 30 if other == "archive" else LETTERS})  # what lies there stays: it could come back
    touched = {"edit": letters[16:24], "note": letters[16:28], "park": opened}.get(other, letters)
    said = _side_by_side(operators, commands(letters)["purge"], commands(touched)[other])

    _reckon(operators, said)
    there = {letter.id: letter.state for letter in operators.letters()}
    gone = [letter.id for letter in letters if letter.id not in there]
    assert sum(map(_purged, said)) == len(gone), said
    assert not any(operators.store.trail(letter) for letter in gone), said
    left_open = [letter.id for letter in opened if there.get(letter.id) == "open"]
    assert len(left_open) == {"replay": 0, "discard": 0, "unpark": len(opened) - 1}.get(other, len(opened)), said
    copies = Counter(event.replay.letter for event in map(codec.decode, operators.sent()) if event.replay)
    assert copies == ({letter.id: 1 for letter in opened} if other == "replay" else {}), said
    if other == "archive":
        assert all(there[letter.id] == "discarded" for letter in letters[30:]), said
    list(Purging(operators.engine, EVERYTHING, before=time.time() + 1, there={}).run())
    stays = {parked.id, *(key.first for key in operators.store.parking.parked()), *left_open}
    assert {letter.id for letter in operators.letters()} == stays


def _side_by_side(operators: Operators, *works: tuple[Program, Sequence[Sequence[str]]]) -> list[str]:
    processes = [operators.start(*work) for work in works]
    operators.go(*processes)
    said = operators.finish(*processes)
    catch_up(operators.log, operators.store)
    return said


def _reckon(operators: Operators, said: Sequence[str]) -> None:
    copies = Counter(event.replay.letter for event in map(codec.decode, operators.sent()) if event.replay)
    for letter in operators.letters():
        trail = [action.what for action in operators.store.trail(letter.id)]
        ends = [what for what in trail if what in {"replay", "discard"}]
        expected = {"open": [], "replayed": ["replay"], "discarded": ["discard"]}[letter.state]
        assert ends == expected, (letter.id, letter.state, trail, said)
        assert copies[letter.id] == (letter.state == "replayed"), (letter.id, letter.state, trail, said)
        after = trail[trail.index(ends[0]) + 1 :] if ends else []
        assert "edit" not in after, (letter.id, trail, said)
    sent = {
        event.replay.letter: event.fields.get("edited") for event in map(codec.decode, operators.sent()) if event.replay
    }
    edited = {letter.id for letter in operators.letters() if letter.edited is not None}
    assert {letter for letter, field in sent.items() if field is not None} == edited & set(sent)


@pytest.mark.parametrize("count", [2, 5])
def test_replays_side_by_side(count: int, operators: Operators) -> None:
    """So many replays of everything: each letter goes once, and who came too late is told whose they are."""
    operators.bury(letters_of(3 * BATCH))
    processes = [operators.start(command, [["replay", "--all", "--yes"]]) for _ in range(count)]
    operators.go(*processes)
    said = operators.finish(*processes)

    _reckon(operators, said)
    assert len(operators.sent()) == 3 * BATCH
    assert sum(_counted(words, "replayed") for words in said) == 3 * BATCH
    none = [words for words in said if _counted(words, "replayed") == 0]
    told = ("is replaying it (process", "it is replayed already", "No letter matches")
    assert [words for words in none if not any(one in words for one in told)] == []


@pytest.mark.parametrize("count", [2, 5])
def test_replays_that_are_killed(count: int, operators: Operators) -> None:
    """kill -9 of each in turn, at whatever it is doing: nothing is sent twice, and nothing is stuck for longer."""
    operators.bury(letters_of(600))
    replay = [["replay", "--all", "--yes", "--rate", "200"]]
    for _ in range(2):
        processes = [operators.start(command, replay, ttl=4.0) for _ in range(count)]
        operators.go(*processes)
        for process in processes:
            time.sleep(0.7)
            process.kill()
        time.sleep(4.5)
    last = operators.start(command, [["replay", "--all", "--yes"]])
    operators.go(last)
    said = operators.finish(last)

    _reckon(operators, said)
    assert len(operators.sent()) == 600
    assert Counter(letter.state for letter in operators.letters()) == {"replayed": 600}


@pytest.mark.postgres
def test_a_process_that_is_stopped_in_a_change(
    postgres_url: str, tmp_path: Path, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped in the middle of a transaction, it keeps nobody waiting for longer than a claim holds."""
    monkeypatch.setattr(claims, "TTL_SECONDS", 2.0)
    operators = Operators(tmp_path, postgres_url, pool)
    operators.bury(letters_of(1))
    catch_up(operators.log, operators.store)
    [letter] = operators.letters()
    with claims.changing(operators.engine) as stopped:
        others = operators.store.discard([letter.id], "test", who="ada", now=1.0)
        stopped.invalidate()  # what is left of it
        stopped.rollback()
    operators.close()

    assert others == [letter.id]


def test_what_is_claimed_cannot_be_discarded(operators: Operators) -> None:
    """The discard says whose the letters are; once that replay is over, what it left is open to everybody."""
    operators.bury(letters_of(300))
    replay = operators.start(command, [["replay", "--all", "--yes", "--rate", "60"]])
    operators.go(replay)
    _wait_for_claims(operators)
    discard = operators.start(command, [["discard", "--all", "--yes", "--reason", "too late"]])
    edit = operators.start(command, [["edit", operators.letters()[-1].id, "--set", "n=1"]])
    operators.go(discard, edit)
    discarded, edited = operators.finish(discard, edit)
    operators.finish(replay)

    assert "0 discarded" in discarded
    assert "is replaying it (process" in discarded
    assert "is replaying it (process" in edited
    assert Counter(letter.state for letter in operators.letters()) == {"replayed": 300}


def test_a_replay_that_slept_through_its_time(operators: Operators) -> None:
    """Stopped for longer than its claim holds, it sends nothing more of what somebody else has discarded since."""
    operators.bury(letters_of(400))
    replay = operators.start(command, [["replay", "--all", "--yes", "--rate", "50"]], ttl=3.0)
    operators.go(replay)
    _wait_for_claims(operators)
    time.sleep(1.0)
    replay.send_signal(signal.SIGSTOP)
    time.sleep(4.0)
    discard = operators.start(command, [["discard", "--all", "--yes", "--reason", "gone"]])
    operators.go(discard)
    operators.finish(discard)
    replay.send_signal(signal.SIGCONT)
    [said] = operators.finish(replay)

    assert any(words in said for words in ("its claim ended", "does not confirm", "does not answer")), said
    states = {letter.id: letter.state for letter in operators.letters()}
    copies = [event.replay.letter for event in map(codec.decode, operators.sent()) if event.replay]
    discarded_and_sent = [letter for letter in copies if states[letter] == "discarded"]
    assert len(copies) == len(set(copies))
    assert len(discarded_and_sent) <= 1, said  # the one that was on its way when it was stopped


def _wait_for_claims(operators: Operators) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if operators.store.claims.holders([letter.id for letter in operators.letters()]):
            return
        time.sleep(0.1)
    raise AssertionError("nothing was claimed")


def _purged(said: str) -> int:
    return sum(int(line.removesuffix(" purged")) for line in said.splitlines() if line.endswith(" purged"))


def _counted(said: str, what: str) -> int:
    for line in said.splitlines():
        for part in line.split(", "):
            number, _, word = part.partition(" ")
            if word == what and number.replace(",", "").isdigit():
                return int(number.replace(",", ""))
    return 0
