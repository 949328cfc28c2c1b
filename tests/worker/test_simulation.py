"""The three promises, over thousands of random histories."""

from __future__ import annotations

import asyncio
import os

import pytest

from tests.worker.simulation import World

SEEDS = int(os.environ.get("WRITEBACK_TEST_SEEDS", "2000"))
SHARDS = 20


@pytest.mark.parametrize("shard", range(SHARDS))
def test_random_histories(shard: int) -> None:
    """Every event ends delivered or lettered, in the order of its key, doubled only where that is told."""

    async def history(seed: int) -> None:
        world = World(seed)
        await world.run()
        world.check()

    for seed in range(shard, SEEDS, SHARDS):
        try:
            asyncio.run(history(seed))
        except BaseException as error:
            error.add_note(f"the failing seed is {seed}: asyncio.run(history({seed}))")
            raise
