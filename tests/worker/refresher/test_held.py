"""Requests that cannot be read: their partition is held until it is skipped; what lies before and behind is served."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from kafka import codec

from tests.topics.kafka.librdkafka import write
from tests.worker.refresher.stand import Stand, until
from topics import names
from topics.cli.commands import topics
from topics.cli.console import USAGE, run
from topics.cli.context import CommandContext
from topics.event.codec import Encoded
from topics.event.refresh import RefreshRequest, encode
from topics.log import Partition, Record, Unreadable
from topics.settings import Settings
from topics.store import open_store
from topics.store.orders import Order, Orders
from worker.clock import FakeClock
from worker.observe.doctor import Finding, examine
from worker.refresher.held import HeldRequests
from worker.refresher.owned import OwnedPartition

pytestmark = pytest.mark.timeout(300)  # a broker may have to be started first


def damage(stand: Stand, patch: pytest.MonkeyPatch) -> Partition:
    """A request that cannot be read: compressed with a codec that is not installed, or spoiled in the file."""
    lost = encode(RefreshRequest(connection="odoo", source="s" * 500))
    if stand.url.startswith("kafka"):
        patch.setattr(codec, "has_zstd", lambda: False)
        bootstrap = stand.url.removeprefix("kafka://")
        write(bootstrap, names.DEFAULT.refresh, Encoded(lost.key, lost.value, lost.headers), codec="zstd")
        [place] = [place for place, end in stand.ends(names.DEFAULT.refresh).items() if end == 1]
        return place
    place = stand.producer.send(names.DEFAULT.refresh, **lost._asdict()).result(30.0).partition
    connection = sqlite3.connect(stand.folder / "log.db")
    with connection:
        connection.execute("UPDATE records SET headers = x'0102' WHERE id = (SELECT max(id) FROM records)")
    connection.close()
    return place


def doctor(stand: Stand) -> list[Finding]:
    settings = Settings(log=stand.url, store=stand.store, single_host=True)
    return [one for one in examine(CommandContext(lambda: settings)) if one.check == "refresh requests"]


async def test_a_request_that_cannot_be_read(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next one waits behind it, doctor says so, and it is served once that was skipped; the bytes are a letter."""
    stand.connect()
    place = damage(stand, monkeypatch)
    asked = stand.ask()
    wrong = await asyncio.to_thread(doctor, stand)
    async with stand.running():
        stand.orders.give([Order(place, "skip", stand.ends(place.topic)[place], "ops", 1_700_000_000.0)])
        await until(stand.finished)
        await until(lambda: stand.lag() == 0)
        [order] = stand.orders.of([place])
    well = await asyncio.to_thread(doctor, stand)
    [letter] = stand.letters()

    assert [one.state for one in wrong] == ["wrong"]
    assert "`writeback topics skip writeback.refresh` goes on behind it" in wrong[0].said
    assert order.answer == "goes on at offset 1, past what cannot be read; its bytes are in a dead letter"
    assert (letter.verdict, letter.record.partition, letter.record.offset) == ("unreadable", place, 0)
    assert [result.outcome for result in stand.results() if result.id == asked.id] == ["delivered"]
    assert well == []


@pytest.mark.parametrize("stand", ["sqlite"], indirect=True)
async def test_nothing_is_held(stand: Stand) -> None:
    """An order for a partition that can be read is answered with that."""
    place = Partition(names.DEFAULT.refresh, 0)
    async with stand.running():
        stand.orders.give([Order(place, "skip", 0, "ops", 1_700_000_000.0)])
        await until(lambda: stand.orders.of([place])[0].answer)

    assert stand.orders.of([place])[0].answer == "it is not held"


@pytest.mark.parametrize("during", ["letter", "commit"])
async def test_a_partition_that_is_lost_on_the_way(tmp_path: Path, during: str) -> None:
    """While its letter or its commit is under way: the order stays, for the next owner to carry out."""
    place = Partition(names.DEFAULT.refresh, 0)
    owned = OwnedPartition(place, None)
    sought: list[int] = []

    async def lose(now: str) -> None:
        owned.open = now != during

    orders = Orders(open_store(f"sqlite:///{tmp_path / 'store.db'}"))
    held = HeldRequests(
        orders,
        {place: owned},
        FakeClock(),
        keep=lambda *_: lose("letter"),
        seek=lambda _, to: sought.append(to),
        commit=lambda _: lose("commit"),
    )
    held.unreadable(Unreadable(place, 0, "spoiled", after=1, record=Record(place, 0, 0, None, b"?")))
    orders.give([Order(place, "skip", 1, "ops", 1_700_000_000.0)])
    await held.obey()

    assert [order.answer for order in orders.of([place])] == [None]
    assert sought == ([1] if during == "commit" else [])


@pytest.mark.parametrize("stand", ["sqlite"], indirect=True)
def test_the_topic_of_letters_has_a_command_of_its_own(stand: Stand, capsys: pytest.CaptureFixture[Any]) -> None:
    """It is the archive that reads it: the command says which to use."""
    settings = Settings(log=stand.url, store=stand.store, single_host=True)
    code = run(topics, CommandContext(lambda: settings), ["skip", names.DEFAULT.dead_letter])

    assert code == USAGE
    assert "`writeback dead-letters skip` goes on behind what it holds" in capsys.readouterr().err
