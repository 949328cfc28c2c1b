"""Random changes of a table, crashes at every step, dead letters: at the end the destination is what the query says."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from sqlalchemy import text

from tests.worker.syncs.conftest import World, sync_of
from topics.log import Position
from worker.clock import SystemClock
from worker.syncs.definition.model import Sync
from worker.syncs.plan import maker
from worker.syncs.run import sending
from worker.syncs.run.run import Runner
from worker.syncs.run.sending import Sender
from worker.syncs.snapshot import blocks
from worker.syncs.snapshot.blocks import Blocks
from worker.syncs.source import warehouse
from worker.syncs.state.syncs import Syncs

ROUNDS = 10


class Killed(BaseException):
    """What is done when a process dies: nothing more."""


class Crashes:
    """Ends a run at a step that the dice choose: before or after the intent, between two sends, before the commit."""

    def __init__(self, dice: Random, monkeypatch: pytest.MonkeyPatch) -> None:
        self._dice = dice
        self.left = -1
        self.happened: Counter[str] = Counter()
        intend, settle, failed, send = Sender._intend, Sender._settle, Runner._failed, Sender._send

        def intending(sender: Sender, *given: Any) -> None:
            self._step("before the intent")
            intend(sender, *given)
            self._step("after the intent")

        def settling(sender: Sender, *given: Any) -> None:
            self._step("before the commit")
            settle(sender, *given)
            self._step("after the commit")

        def sending_(sender: Sender, events: Any) -> Any:
            real = sender.producer
            sender.producer = _Producer(real, self._step)  # type: ignore[assignment]
            try:
                return send(sender, events)
            finally:
                sender.producer = real

        def failing(runner: Runner, *given: Any) -> None:
            if not isinstance(given[-1], Killed):  # a process that is killed writes nothing down
                failed(runner, *given)

        monkeypatch.setattr(Sender, "_intend", intending)
        monkeypatch.setattr(Sender, "_settle", settling)
        monkeypatch.setattr(Sender, "_send", sending_)
        monkeypatch.setattr(Runner, "_failed", failing)

    def arm(self) -> None:
        self.left = self._dice.randrange(9) if self._dice.random() < 0.75 else -1

    def _step(self, where: str) -> None:
        if self.left == 0:
            self.left = -1
            self.happened[where] += 1
            raise Killed(where)
        self.left -= self.left > 0


class Skewed(SystemClock):
    """Runs take place on machines that do not agree on the time: up to a day apart."""

    def __init__(self, dice: Random) -> None:
        self._dice = dice

    def now(self) -> float:
        return super().now() + self._dice.uniform(-86_400, 86_400)


class _Producer:
    """Each event is in the log when the next step comes."""

    def __init__(self, real: Any, step: Any) -> None:
        self._real, self._step = real, step

    def send(self, *given: Any, **named: Any) -> Any:
        future = self._real.send(*given, **named)
        assert isinstance(future.result(), Position)
        self._step("between two sends")
        return future


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks, pieces and batches of a few rows, so that a hundred rows are many of each."""
    monkeypatch.setattr(blocks, "BLOCK", 4)
    monkeypatch.setattr(maker, "BLOCK", 4)
    monkeypatch.setattr(maker, "PIECE", 6)
    monkeypatch.setattr(warehouse, "CHUNK", 3)
    monkeypatch.setattr(sending, "BATCH_EVENTS", 5)
    monkeypatch.setattr(sending, "BATCH_LINES", 3)
    monkeypatch.setattr(sending, "REWRITE", 0)
    monkeypatch.setattr(sending, "SETTLE_S", 0.0)


def change_something(world: World, dice: Random, moment: int) -> None:
    """A few rows are added, changed, touched without a change, deleted; several share one time."""
    statements = []
    for _ in range(dice.randrange(4, 14)):
        number, late = dice.randrange(1, 60), dice.randrange(3)
        match dice.randrange(4):
            case 0:
                statements.append(f"DELETE FROM people WHERE id = {number}")
            case 1:
                statements.append(f"UPDATE people SET changed_at = {moment - late} WHERE id = {number}")
            case _:
                age = dice.choice(["NULL", "1", "2", "3"])
                statements.append(
                    f"INSERT INTO people VALUES ({number}, 'u{number}@acme.com', 'U', {age}, {moment - late}) "
                    f"ON CONFLICT (id) DO UPDATE SET age = {age}, changed_at = {moment - late}"
                )
    world.write(*statements)


def in_the_query(world: World) -> dict[str, dict[str, Any]]:
    with world.warehouse.connect() as connection:
        rows = connection.execute(text("SELECT id, email, name, age FROM people"))
        return {str(number): dict(zip(FIELDS, (number, *rest), strict=True)) for number, *rest in rows}


FIELDS = ("id", "email", "firstname", "age")
MAP = {"id": "id", "email": "email", "name": "firstname", "age": "age"}
OFF: dict[str, Any] = {"max_changes": "off", "max_removed": "off", "max_nulls": "off", "map": MAP}


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("sync", "seed"),
    [
        (sync_of(mode="mirror", key=["email", "id"], **OFF), 2),
        (sync_of(mode="cursor", cursor="changed_at", late=3, **OFF), 3),
        (sync_of(mode="full", **OFF), 4),
    ],
    ids=["mirror", "cursor", "full"],
)
def test_the_destination_is_what_the_query_says(
    world: World, monkeypatch: pytest.MonkeyPatch, sync: Sync, seed: int
) -> None:
    """Nothing is lost and nothing is in the log twice, wherever runs are cut off and whatever is refused meanwhile."""
    dice = Random(seed)
    crashes = Crashes(dice, monkeypatch)
    world.runner = replace(world.runner, clock=Skewed(Random(seed)))
    refusing = sync.mode != "full"
    seen: list[str] = []
    world.people(10, 40)
    for moment in range(ROUNDS):
        change_something(world, dice, moment)
        world.refuse = lambda event: refusing and dice.random() < 0.1
        crashes.arm()
        with suppress(Killed):
            world.run(sync, failed=refusing and dice.random() < 0.2)
        if dice.random() < 0.6:
            seen += [event.id for event in world.deliver()]
    crashes.left = -1
    world.refuse = lambda _event: False
    for _ in range(3):  # a run goes on with what was cut off, the next one finds what has changed since
        world.run(sync, failed=refusing)
        seen += [event.id for event in world.deliver()]

    there = in_the_query(world)
    kept = world.destination if sync.mode == "mirror" else {key: world.destination.get(key) for key in there}
    assert kept == there
    assert [one for one, count in Counter(seen).items() if count > 1] == []
    assert crashes.happened.total() >= 3


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("mode", ["diff", "mirror"])
def test_a_block_that_grows_far_keeps_each_row_once(world: World, mode: str) -> None:
    """Rows come in before the others, more than one piece of them; a row behind them changes, and another is gone."""
    sync = sync_of(mode=mode, **OFF)
    world.write(*[f"INSERT INTO people VALUES ({n}, 'u{n}@acme.com', 'U', 1, 1)" for n in range(100, 900, 100)])
    world.run(sync)
    world.people(1, 30)
    world.write("UPDATE people SET age = 2 WHERE id = 300", "DELETE FROM people WHERE id = 200")
    world.run(sync)

    index = Blocks(world.store, "people").index()
    kept = [key for block in index for key in Blocks(world.store, "people").rows(block.position)]
    assert kept == [*range(1, 31), 100, *range(300, 900, 100)]
    assert sum(block.size for block in index) == Syncs(world.store).standing("people").rows == len(kept)
    assert world.run(sync).run.sent == 0
