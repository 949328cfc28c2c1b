"""The fixed names of what the two engines log. Never a payload, never a secret."""

from __future__ import annotations

from typing import Any, Literal, Protocol

EventName = Literal[
    "log.partition_held",  # partition, group, reason: it cannot be read (from where it was left); it waits for a person
    # Kafka
    "log.poll_failed",  # group, error, failures: the broker did not answer; asked again
    "log.offsets_not_read",  # group, error: how far the partitions are is asked once more; they stay paused
    "log.partitions_lost",  # partitions: the group gave them to another, as this worker was not heard of in time
    "log.revocation_late",  # error: what was under way did not end before the partitions had to be given up
    "log.revocation_not_committed",  # partitions, error: the next owner reads some of their records again
    "log.revocation_failed",  # partitions: a bug while giving them up; nothing of them is committed
    "log.consumer_replaced",  # group, reason: the library's consumer had come to a stop; a new one has its place
    "log.consumer_failed",  # group, error: it cannot go on; the worker ends
    "log.consumer_hangs",  # group: it did not close in time, and is left behind
    "log.close_failed",  # group, error: the broker was not told; it notices by itself
    "log.producer_replaced",  # producer, error: the library's producer had died; what it held is sent anew
    "log.reader_passed",  # partition, reason: something there cannot be read; the outcomes or replies in it are missed
    "log.reader_moved",  # partition, asked, to: what was asked for is not kept any more, or not there yet
    "log.deleted",  # partition, before: what was done and old enough, below this offset
    "log.not_deleted",  # group, error: what is done and old stays; tried again every minute
    # the embedded log
    "lease.standing_by",  # group, process, takes_over: another process owns the group; this one waits for its turn
    "lease.taken_over",  # group, process: this one, after it has stood by
    "lease.lost",  # group, epoch: another process has taken over
    "lease.not_released",  # group, reason, takeover_s: the next owner waits for so long
]


class Logger(Protocol):
    def info(self, event: EventName, /, **fields: object) -> object: ...
    def warning(self, event: EventName, /, **fields: object) -> object: ...
    def error(self, event: EventName, /, **fields: object) -> object: ...
    def exception(self, event: EventName, /, **fields: object) -> object: ...


class LazyLogger:
    """structlog, loaded with the first event: most scripts and commands log none, and it takes a tenth of a second."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, level: str) -> Any:
        import structlog  # noqa: PLC0415

        return getattr(structlog.get_logger(self._name), level)


def logger() -> Logger:
    log: Logger = LazyLogger("topics")
    return log
