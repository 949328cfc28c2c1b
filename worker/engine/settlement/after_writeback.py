"""Asks for a refresh of what was written, for the connections that want it after every writeback.

The requests are published with the outcomes, before the offset moves: whatever was delivered is asked for, also when
the worker dies in between. One request a connection and commit, at most; the refresher makes few runs of them.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable

from topics.event.refresh import RefreshRequest, encode
from topics.event.result import Result
from worker.engine.settlement.publisher import RetryingPublisher

SOURCE = "worker: after_writeback"


class AfterWriteback:
    def __init__(self, publisher: RetryingPublisher) -> None:
        self._publisher = publisher
        self._wanting: set[str] = set()

    def set_wanted(self, connection: str, *, wanted: bool) -> None:
        """Said whenever a connection is opened; what was delivered before it was closed counts, too."""
        (self._wanting.add if wanted else self._wanting.discard)(connection)

    async def ask(self, results: Iterable[Result]) -> None:
        """Returns when the log has the requests for what these have delivered."""
        if not self._wanting:
            return
        objects: defaultdict[str, set[str]] = defaultdict(set)
        for result in results:
            if result.outcome == "delivered" and result.connection in self._wanting:
                objects[result.connection].add(result.object)
        requests = (
            RefreshRequest(connection=connection, objects=tuple(written), source=SOURCE)
            for connection, written in objects.items()
        )
        await asyncio.gather(*(self._publish(request) for request in requests))

    async def _publish(self, request: RefreshRequest) -> None:
        encoded = encode(request)
        await self._publisher.publish(key=encoded.key, value=encoded.value, headers=encoded.headers)
