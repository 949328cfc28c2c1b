"""Partitions of refresh requests that are held by an unreadable record, until an operator orders to skip it.

The order is given by ``writeback topics skip``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from topics.errors import StoreUnavailable
from topics.log import Partition, Record, Unreadable
from topics.store.orders import Order, Orders
from worker.clock import Clock
from worker.log_events import logger
from worker.refresher.owned import OwnedPartition

LOOK_SECONDS = 1.0
"""Seconds between two looks for orders."""


class HeldRequests:
    """``keep``: writes a dead letter, and returns when the log has it. ``seek``: goes on reading at an offset.

    ``commit``: commits the progress of partitions, and returns when the log has it.
    """

    def __init__(
        self,
        orders: Orders | None,
        owned: Mapping[Partition, OwnedPartition],
        clock: Clock,
        *,
        keep: Callable[[Record, str], Awaitable[None]],
        seek: Callable[[Partition, int], None],
        commit: Callable[[set[OwnedPartition]], Awaitable[None]],
    ) -> None:
        self._orders = orders
        self._owned = owned
        self._clock = clock
        self._keep = keep
        self._seek = seek
        self._commit = commit
        self._found: dict[Partition, Unreadable] = {}
        self._next_look = float("-inf")

    def unreadable(self, found: Unreadable) -> None:
        """The log cannot read on there. What was skipped by an earlier order is skipped again."""
        owned = self._owned.get(found.partition)
        if owned is None:
            return
        passed_to = owned.progress.passed(found.offset)
        if passed_to is not None:
            self._go_past(owned, passed_to)
            return
        self._found[found.partition] = found
        advice = f"`writeback topics skip {found.partition.topic}` goes on behind it"
        logger().error(
            "partition.held", partition=str(found.partition), kind="unreadable", reason=f"{found.reason}; {advice}"
        )

    def forget(self, partition: Partition) -> None:
        """The partition is not ours any more."""
        self._found.pop(partition, None)

    async def obey(self) -> None:
        """Carry out the orders about our partitions, or answer that there is nothing to do."""
        now = self._clock.monotonic()
        if self._orders is None or now < self._next_look:
            return
        self._next_look = now + LOOK_SECONDS
        try:
            orders = await asyncio.to_thread(self._orders.waiting)
            for partition, order in orders.items():
                owned = self._owned.get(partition)
                if owned is not None and (answer := await self._carry_out(owned, order)):
                    logger().warning("partition.order", partition=str(partition), order=order.kind, answer=answer)
                    await asyncio.to_thread(self._orders.answer, order, answer)
        except StoreUnavailable as error:
            logger().warning(
                "store.unavailable", error=str(error)
            )  # an order that was carried out is answered at the next look

    async def _carry_out(self, owned: OwnedPartition, order: Order) -> str:
        """The answer to the order; empty while requests before that offset have not been read.

        Also empty when the partition was taken away meanwhile: its next owner carries the order out.
        """
        found = self._found.get(owned.partition)
        if found is None and order.kind == "skip" and owned.progress.watermark < order.below:
            return ""  # a refresher that has just begun has not met the unreadable record yet
        if found is None or order.kind != "skip" or found.offset >= order.below:
            return "it is not held"
        if owned.progress.top < found.offset and owned.progress.unfinished:
            return ""
        if found.record is not None:
            await self._keep(found.record, found.reason)
            if not owned.open:
                return ""
        owned.progress.leave_out(found.offset, found.behind)
        self._go_past(owned, found.behind)
        self.forget(owned.partition)
        await self._commit({owned})
        if not owned.open:
            return ""
        kept = "; its bytes are in a dead letter" if found.record is not None else ""
        return f"goes on at offset {found.behind:,}, past what cannot be read{kept}"

    def _go_past(self, owned: OwnedPartition, to: int) -> None:
        self._seek(owned.partition, to)
        owned.progress.pass_to(to)
