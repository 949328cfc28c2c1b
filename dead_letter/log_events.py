"""The fixed names of what the archive logs. Never a payload, never a secret."""

from __future__ import annotations

from typing import Literal, Protocol

from topics.log.log_events import LazyLogger

EventName = Literal[
    "archive.held",  # reason, failures, next_try_s: the store does not answer; letters wait in their topic
    "archive.resumed",  # failures: how often it did not answer
    "archive.log_unavailable",  # reason, failures, next_try_s
    "archive.stored_raw",  # partition, offset, reason: no letter of ours, kept as it is
    "archive.letters_deleted",  # partition, mark, first: what the store has not read is deleted
    "archive.topic_made_anew",  # partition, mark, end: it ends before what was read of it; read from its start
]


class Logger(Protocol):
    def info(self, event: EventName, /, **fields: object) -> object: ...
    def warning(self, event: EventName, /, **fields: object) -> object: ...


def logger() -> Logger:
    log: Logger = LazyLogger("dead_letter")
    return log
