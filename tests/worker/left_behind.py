"""What a worker that died has left in the log."""

from __future__ import annotations

from tests.tools.one_process_profile import Bench
from topics import names
from topics.log import Commit, Partition

ACME = Partition(names.DEFAULT.events_topic("acme"), 0)


async def leave(bench: Bench, commit: Commit) -> None:
    """What a worker that died has committed last."""

    class Dead:
        def assigned(self, commits: object) -> None: ...

        async def revoked(self, partitions: object) -> dict[Partition, Commit]:
            return {ACME: commit}

        def lost(self, partitions: object) -> None: ...

        def unreadable(self, found: object) -> None: ...

    consumer = bench.log.consumer(names.DEFAULT.worker_group, pattern=names.DEFAULT.events_pattern, rebalance=Dead())
    await consumer.start()
    while not await consumer.poll(1.0):
        pass
    await consumer.close()
