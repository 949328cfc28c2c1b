"""``dead-letters purge`` as a person types it."""

from __future__ import annotations

import pytest

from tests.dead_letter.cli.test_commands import FIRST, SECOND, THIRD, CommandLine, desk
from topics.cli.console import USAGE
from topics.log import Partition
from topics.names import DEFAULT

__all__ = ["desk"]


@pytest.fixture
def old(desk: CommandLine) -> CommandLine:
    """Two letters that were discarded just now, and an open one; the topic has deleted what it had."""
    desk.bury(FIRST, SECOND, THIRD)
    desk.say("discard", FIRST.id, SECOND.id, "--reason", "test", "--yes")
    desk.log.trim({Partition(DEFAULT.dead_letter, 0): 3})
    return desk


def test_a_plan_changes_nothing(old: CommandLine) -> None:
    """--dry-run says how many would go, and why the others stay."""
    assert old.json("purge", "--older-than", "0s", "--dry-run") == {
        "purged": 0,
        "would_go": 2,
        "stay": {},
        "open": 1,
    }
    assert old.say("purge", "--dry-run") == "0 would be purged\n"
    assert "2 that have ended stay: they ended later than that" in old.err
    assert len(old.json("list", "--state", "all")) == 3


def test_nobody_is_there_to_be_asked(old: CommandLine) -> None:
    """Without a terminal it needs --yes, and deletes nothing."""
    old.say("purge", "--older-than", "0s", code=USAGE)

    assert "say --yes" in old.err
    assert len(old.json("list", "--state", "all")) == 3


def test_it_deletes(old: CommandLine) -> None:
    """What has ended, and not what is open; again there is nothing left to do."""
    said = old.say("purge", "--older-than", "0s", "--yes")

    assert said == "2 purged\n"
    assert [letter["id"] for letter in old.json("list", "--state", "all")] == [THIRD.id]
    assert old.say("purge", "--older-than", "0s") == "0 purged\n"


def test_a_state(old: CommandLine) -> None:
    """Only the replayed ones: there are none."""
    assert old.json("purge", "--older-than", "0s", "--state", "replayed", "--yes")["purged"] == 0


def test_what_lies_in_the_topic_stays(desk: CommandLine) -> None:
    """And it says which setting that depends on."""
    desk.bury(FIRST)
    desk.say("discard", FIRST.id, "--reason", "test", "--yes")
    said = desk.say("purge", "--older-than", "0s", "--yes")

    assert said == "0 purged\n"
    assert "1 that have ended stay: they still lie in the topic of letters (WRITEBACK_LETTERS_RETENTION" in desk.err
