"""The ledger of all outcomes, ``writeback.results``.

Packed, because a record apiece would be the dearest part of an event (measured: 30-50 us of producing against 3).
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence

from topics.event.result import MAX_PACKED, Result, pack
from worker.engine.settlement.publisher import RetryingPublisher

MAX_BYTES = 1_000_000
"""Of one record: keys of a thousand characters, 500 times, would be larger than the topic takes."""


After = Callable[[Sequence[Result]], Awaitable[None]]


class Ledger:
    """Collects between two commits; the committer publishes before it moves an offset.

    ``counts``: events by (connection, operation, outcome), since this worker began. ``after``: what else the log must
    have before an offset moves; told the outcomes that it has.
    """

    def __init__(self, publisher: RetryingPublisher, after: After | None = None) -> None:
        self._publisher = publisher
        self._after = after
        self._results: list[Result] = []
        self.counts: defaultdict[tuple[str, str, str], int] = defaultdict(int)
        self._one_at_a_time = asyncio.Lock()

    async def open(self) -> None:
        """Returns when the ledger can be written: an empty record shows it.

        Without this the first outcomes wait for a producer that is just connecting, and no offset moves meanwhile.
        """
        await self._publisher.publish(key=None, value=pack([]))

    def add(self, result: Result) -> None:
        self._results.append(result)
        self.counts[result.connection, result.operation, result.outcome] += 1

    def take(self) -> list[Result]:
        """What was collected since; it is the caller's to publish."""
        results, self._results = self._results, []
        return results

    async def flush(self) -> None:
        """Returns when the log has everything that was added before.

        What was not acknowledged, because this was cancelled, is collected again: twice in the ledger, never missing.
        """
        async with self._one_at_a_time:
            results = self.take()
            try:
                await self.publish(results)
                if self._after is not None:
                    await self._after(results)
            except BaseException:
                self._results = results + self._results
                raise

    async def publish(self, results: list[Result]) -> None:
        """Returns when the log has them."""
        parts = [results[start : start + MAX_PACKED] for start in range(0, len(results), MAX_PACKED)]
        values = [value for part in parts for value in _values(part)]
        if len(values) == 1:  # the usual case, without tasks: each pass of a busy loop takes 10 ms
            await self._publisher.publish(key=None, value=values[0])
        else:
            await asyncio.gather(*(self._publisher.publish(key=None, value=value) for value in values))


def _values(results: list[Result]) -> list[bytes]:
    value = pack(results)
    if len(value) <= MAX_BYTES or len(results) == 1:
        return [value]
    middle = len(results) // 2
    return _values(results[:middle]) + _values(results[middle:])
