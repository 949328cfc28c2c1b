"""The three promises, over thousands of random histories."""

from __future__ import annotations

import asyncio
import os

import pytest

from tests.simulation.outbox import OutboxWorld
from tests.simulation.world import World

SEEDS = int(os.environ.get("WRITEBACK_TEST_SEEDS", "800"))
"""Histories; `make soak` lives through many more of them."""
SHARDS = 20
STEPPED = range(10_000, 10_000 + max(1, SEEDS // 200))
"""Histories that are lived through once for each step at which the worker may die."""
CRASHES = max(400, SEEDS // 2)
"""At most so many of them: of a history that waits for its destination there are thousands, nearly all alike."""


async def history(seed: int, events: int = 40, crash_at: int | None = None) -> int:
    """Live through it, reckon, and say how many steps it took."""
    world = World(seed, events, crash_at=crash_at)
    try:
        await world.run()
        world.check()
    except BaseException as error:
        error.add_note(f"it is: asyncio.run(history({seed}, {events}, {crash_at}))")
        raise
    return world.steps


@pytest.mark.parametrize("shard", range(SHARDS))
def test_random_histories(shard: int) -> None:
    """Every event ends delivered or dead-lettered, in the order of its key, doubled only where that is told."""
    for seed in range(shard, SEEDS, SHARDS):
        asyncio.run(history(seed))


@pytest.mark.parametrize("seed", STEPPED)
def test_a_crash_at_every_step(seed: int) -> None:
    """Whenever the worker dies: nothing is done that has a letter, and no more is repeated than could be in flight.

    Of a history with very many steps some are left out, others for each seed.
    """
    steps = asyncio.run(history(seed, 12, 0))
    stride = 1 + steps // CRASHES
    for step in range(1 + seed % stride, steps, stride):
        asyncio.run(history(seed, 12, step))


def test_events_out_of_an_outbox(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two relays, killed anywhere between the outbox and the topics: the same promises, each event once, in order."""
    monkeypatch.setattr("worker.relay.relay.BATCH", 4)
    kills = 0
    for seed in range(20_000, 20_000 + max(1, SEEDS // 40)):
        world = OutboxWorld(seed)
        try:
            asyncio.run(world.run())
            world.check()
        except BaseException as error:
            error.add_note(f"it is the OutboxWorld of seed {seed}")
            raise
        finally:
            world.close()
        kills += world.kills
    assert kills > SEEDS // 40
