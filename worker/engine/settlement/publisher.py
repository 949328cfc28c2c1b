"""Publishes what must not be lost: repeated until the log has it."""

from __future__ import annotations

import asyncio

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_exponential

from topics.errors import LogUnavailable
from topics.log import Headers, Position, Producer
from worker.clock import Clock
from worker.log_events import logger

LONGEST_PAUSE = 5.0


class RetryingPublisher:
    """Publishes to one topic, letters, replies or the ledger: a flood of one does not hold up the others."""

    def __init__(self, producer: Producer, topic: str, clock: Clock) -> None:
        self._producer = producer
        self._topic = topic
        self._clock = clock

    async def publish(
        self,
        *,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
        partition: int | None = None,
    ) -> Position:
        """Returns when the log has it durably; raises only ``RecordRefused``."""
        async for attempt in AsyncRetrying(
            wait=wait_exponential(multiplier=0.2, max=LONGEST_PAUSE),
            retry=retry_if_exception_type(LogUnavailable),
            sleep=self._clock.sleep,
            before_sleep=_tell,
        ):
            with attempt:
                sent = self._producer.send(self._topic, key=key, value=value, headers=headers, partition=partition)
                return await asyncio.wrap_future(sent)
        raise AssertionError("retried for ever")

    def close(self, timeout: float) -> None:
        self._producer.close(timeout)


def _tell(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    logger().warning("publish.retry", attempt=state.attempt_number, error=str(error))
