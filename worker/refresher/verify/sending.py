"""Sends events to a connection's topic, and waits for each until the log has it."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future
from typing import Final

from topics.event import codec
from topics.event.event import Event
from topics.log import Log, Position

UNDER_WAY: Final = 500
ACK_SECONDS: Final = 120.0


def send(log: Log, slug: str, events: Iterable[Event]) -> Generator[Position]:
    """Yields the position of each event, once the log has it. Raises ``LogUnavailable``."""
    producer = log.producer(name="verify")
    flying: deque[Future[Position]] = deque()
    try:
        for event in events:
            flying.append(producer.send(log.names.events_topic(slug), **codec.encode(event)._asdict()))
            if len(flying) >= UNDER_WAY:
                yield flying.popleft().result(ACK_SECONDS)
        while flying:
            yield flying.popleft().result(ACK_SECONDS)
    finally:
        producer.close(5.0)
