"""Parks the key of a record behind its dead letter, where the order of changes matters more than the later ones.

Later events of the key follow it into the dead letters; replayed ones pass, until one of them dies again; the record
that closes a replay frees the key, unless something was diverted since (``dead_letter/store/parking.py``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Protocol

from connectors.contract import Function
from dead_letter.letter.letter import letter_id
from dead_letter.store.parking import Parked, Parking
from topics.errors import StoreUnavailable
from topics.event.event import Event, Operation, Options
from topics.event.unpark import Unpark
from worker.clock import Clock
from worker.engine.lane.assignment import Delivery
from worker.log_events import logger

CLOSING = Function("", Operation.UPDATE, idempotent=True)
"""Stands for the record that closes a replay: it waits its turn in its key's chain and is never sent anywhere."""
STORE_PAUSE = 1.0


class ParkedKeyStore(Protocol):
    """The rows of the parked keys, off the loop. Both return only when the store has it."""

    async def park(
        self, connection: str, record_key: str, letter: str, *, offset: int, barred: bool
    ) -> tuple[str, int]:
        """Which letter parked the key, and the offset of its event."""

    async def close(self, connection: str, record_key: str, letter: str) -> bool:
        """True when the key is free."""


class RetryingParkedKeyStore:
    """Waits for a store that is away: without the row, no letter may be written."""

    def __init__(self, parking: Parking, clock: Clock) -> None:
        self._parking = parking
        self._clock = clock

    async def park(
        self, connection: str, record_key: str, letter: str, *, offset: int, barred: bool
    ) -> tuple[str, int]:
        now = self._clock.now()
        while True:
            try:
                return await asyncio.to_thread(
                    self._parking.park, connection, record_key, letter, offset=offset, barred=barred, now=now
                )
            except StoreUnavailable as error:
                await self._wait(error)

    async def close(self, connection: str, record_key: str, letter: str) -> bool:
        while True:
            try:
                return await asyncio.to_thread(self._parking.close, connection, record_key, letter)
            except StoreUnavailable as error:
                await self._wait(error)

    async def _wait(self, error: StoreUnavailable) -> None:
        logger().warning("store.unavailable", error=str(error))
        await self._clock.sleep(STORE_PAUSE)


class KeyPark:
    """The parked keys of one connection, as the store has them."""

    def __init__(self, connection: str, store: ParkedKeyStore, parked: Iterable[Parked]) -> None:
        self._connection = connection
        self._store = store
        self.changes = 0
        self.load(parked)

    def load(self, parked: Iterable[Parked]) -> None:
        """What the store says, all of it.

        Between reading it and this, ``changes`` must not have moved: what is under way is not in what was read.
        """
        rows = list(parked)
        self._first = {one.record_key: (one.first, one.offset) for one in rows}
        self._barred = {one.record_key for one in rows if one.barred}

    @property
    def keys(self) -> int:
        return len(self._first)

    def blocks(self, delivery: Delivery) -> str | None:
        """The letter behind which this event has to wait; None: it may go."""
        parked = self._first.get(delivery.key)
        if parked is None or (delivery.event.replay is not None and delivery.key not in self._barred):
            return None
        first, offset = parked
        return first if delivery.offset > offset else None

    async def park(self, delivery: Delivery) -> None:
        """Park the key of an event whose letter is about to be written. An event without a key parks nothing."""
        if delivery.event.key is None:
            return
        letter = letter_id(delivery.record)
        barred = delivery.event.replay is not None
        self.changes += 1
        first = await self._store.park(self._connection, delivery.key, letter, offset=delivery.offset, barred=barred)
        self.changes += 1
        self._first[delivery.key] = first
        if barred:
            self._barred.add(delivery.key)

    async def close(self, delivery: Delivery) -> None:
        """Handle the closing record of a replay: free the key, if nothing was diverted since."""
        self.changes += 1
        self._barred.discard(delivery.key)
        freed = await self._store.close(self._connection, delivery.key, delivery.event.fields["letter"])
        self.changes += 1
        if freed:
            self._first.pop(delivery.key, None)
            logger().info("key.unparked", connection=self._connection, keys=self.keys)


def closing_event(connection: str, unpark: Unpark) -> Event:
    """The closing record as an event, so that it waits in its key's queue."""
    object_name, _, key = unpark.record_key.partition("/")
    return Event(
        operation=Operation.UPDATE,
        connection=connection,
        object=object_name,
        key=key or None,
        fields={"letter": unpark.letter},
        options=Options(backfill=True),
        source="writeback dead-letters",
    )
