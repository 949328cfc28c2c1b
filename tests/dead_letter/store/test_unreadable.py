"""What cannot be read in the topic of letters: told, passed on purpose, its bytes kept; on both logs."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from kafka import codec
from sqlalchemy import Engine

from dead_letter.cli.commands import dead_letters
from dead_letter.errors import LettersUnreadable
from dead_letter.letter.letter import FOREIGN, encode
from dead_letter.store.archive import Archive, catch_up, skip
from dead_letter.store.store import LetterStore
from tests.dead_letter.samples import a_letter, publish
from topics.cli.console import FAILED, OK, run
from topics.cli.context import CommandContext
from topics.log import Log
from topics.names import DEFAULT
from topics.open import open_log
from topics.settings import Settings
from topics.store import open_store
from worker.observe.doctor import examine

LETTERS = [a_letter(number) for number in range(3)]
"""The one in the middle cannot be read."""


@dataclass
class Desk:
    log: Log
    engine: Engine
    settings: Settings

    @property
    def store(self) -> LetterStore:
        return LetterStore(self.engine)

    def listed(self) -> list[str]:
        return [letter.id for letter in self.store.list()]

    def say(self, capsys: pytest.CaptureFixture[str], *command: str, code: int = OK) -> Any:
        """Both streams."""
        capsys.readouterr()
        assert run(dead_letters, CommandContext(lambda: self.settings), command) == code
        return capsys.readouterr()


@pytest.fixture(params=["sqlite", pytest.param("kafka", marks=pytest.mark.kafka)])
def desk(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """A topic of three letters, of which the second cannot be read."""
    if request.param == "kafka":
        broker = request.getfixturevalue("kafka")
        url, damage = f"kafka://{broker.bootstrap}", _compressed(broker.bootstrap, monkeypatch)
    else:
        url, damage = f"sqlite:///{tmp_path}/log.db", _damaged(tmp_path / "log.db")
    log = open_log(url)
    if DEFAULT.dead_letter in log.topics():
        log.delete_topic(DEFAULT.dead_letter)
    log.ensure_topics(DEFAULT.system_topics)
    publish(log, LETTERS[0])
    damage(log)
    publish(log, LETTERS[2])
    store = f"sqlite:///{tmp_path}/store.db"
    desk = Desk(log, open_store(store), Settings(log=url, store=store, single_host=True))
    yield desk
    desk.engine.dispose()
    log.close()


def _compressed(bootstrap: str, monkeypatch: pytest.MonkeyPatch) -> Callable[[Log], None]:
    """With a codec that is not installed."""
    from tests.topics.kafka.librdkafka import write  # noqa: PLC0415 - only where there is a Kafka
    from topics.event.codec import Encoded  # noqa: PLC0415

    def damage(_: Log) -> None:
        key, value, headers = encode(LETTERS[1])
        assert key is not None
        write(bootstrap, DEFAULT.dead_letter, Encoded(key, (value or b"") + b" " * 500, headers), codec="zstd")

    monkeypatch.setattr(codec, "has_zstd", lambda: False)
    return damage


def _damaged(path: Path) -> Callable[[Log], None]:
    """By somebody who wrote to the file."""

    def damage(log: Log) -> None:
        publish(log, LETTERS[1])
        connection = sqlite3.connect(path)
        with connection:
            connection.execute("UPDATE records SET headers = x'0102' WHERE id = (SELECT max(id) FROM records)")
        connection.close()

    return damage


def test_what_lies_before_it_is_there_and_the_rest_is_told(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    """A listing shows what it has and says what is missing; a replay, which needs all of it, is refused; so doctor."""
    listed = desk.say(capsys, "list", "--json")
    refused = desk.say(capsys, "replay", "--all", "--yes", code=FAILED)
    [finding] = [one for one in examine(CommandContext(lambda: desk.settings)) if one.check == "dead letters"]

    assert LETTERS[0].id in listed.out
    assert "the letters behind it are not here: `writeback dead-letters skip` goes on behind it" in listed.err
    assert "writeback dead-letters skip" in refused.err
    assert (finding.state, "writeback dead-letters skip" in finding.said) == ("wrong", True)
    assert desk.listed() == [LETTERS[0].id]
    with pytest.raises(LettersUnreadable, match=r"writeback.dead-letter\[0\]: "):
        catch_up(desk.log, desk.store)


def test_it_is_passed_with_its_bytes(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    """They are a letter of their own, between the others; a second time there is nothing to skip."""
    said = desk.say(capsys, "skip").out
    again = desk.say(capsys, "skip").out
    last, kept, first = desk.store.list()

    assert said.startswith("writeback.dead-letter[0]: passed offset 1 to 1; its bytes are in a letter (")
    assert again == "Nothing to skip: all letters of the topic can be read.\n"
    assert (last.id, first.id) == (LETTERS[2].id, LETTERS[0].id)
    assert kept.verdict == FOREIGN
    assert desk.store.get(kept.id).letter.record.value


async def test_an_archive_that_runs_goes_on_when_it_was_passed(desk: Desk) -> None:
    """Within seconds, and not before."""
    stop = asyncio.Event()
    running = asyncio.create_task(Archive(desk.log, desk.store).run(stop))
    async with asyncio.timeout(30):
        while LETTERS[0].id not in desk.listed():  # noqa: ASYNC110 - another thread saves it
            await asyncio.sleep(0.05)
        await asyncio.to_thread(skip, desk.log, desk.store)
        publish(desk.log, after := a_letter(9))
        while after.id not in desk.listed():  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    stop.set()
    await running

    assert len(desk.listed()) == 4
