"""Dead letters that others wrote: Spring Kafka's recoverer and Kafka Connect's error handler.

Spring: https://docs.spring.io/spring-kafka/reference/kafka/annotation-error-handling.html#dead-letters (numbers are
big-endian bytes). Kafka Connect (``errors.deadletterqueue.context.headers.enable``): every value is text.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from topics.log import Partition, Record

SPRING = "kafka_dlt-"
CONNECT = "__connect.errors."


@dataclass(frozen=True, slots=True)
class Origin:
    """``record``: the original, as far as its headers tell; ``reason`` and ``excerpt``: the writer's own words."""

    record: Record
    reason: str
    excerpt: str


def read_foreign(record: Record) -> Origin | None:
    """What the headers of another writer say, or None when there are none that can be read."""
    for prefix, origin in ((SPRING, _spring), (CONNECT, _connect)):
        said = {name.removeprefix(prefix): value for name, value in record.headers if name.startswith(prefix)}
        if not said:
            continue
        try:
            place = origin(said)
        except (KeyError, ValueError, TypeError):
            continue
        kept = tuple(header for header in record.headers if not header[0].startswith(prefix))
        topic, number, offset, timestamp = place
        return Origin(
            replace(
                record,
                partition=Partition(topic, number),
                offset=offset,
                timestamp_ms=record.timestamp_ms if timestamp is None else timestamp,
                headers=kept,
            ),
            reason=_words(said, "exception-message", "exception.message") or "no reason was given",
            excerpt=_excerpt(said),
        )
    return None


Place = tuple[str, int, int, int | None]


def _spring(said: dict[str, bytes]) -> Place:
    timestamp = said.get("original-timestamp")
    return (
        said["original-topic"].decode(),
        _integer(said["original-partition"], 4),
        _integer(said["original-offset"], 8),
        None if timestamp is None else _integer(timestamp, 8),
    )


def _connect(said: dict[str, bytes]) -> Place:
    return said["topic"].decode(), int(said["partition"].decode()), int(said["offset"].decode()), None


def _integer(value: bytes, width: int) -> int:
    if len(value) != width:
        raise ValueError(f"{len(value)} bytes where {width} were expected")
    return int.from_bytes(value, "big", signed=True)


def _excerpt(said: dict[str, bytes]) -> str:
    names = (
        "exception-fqcn",
        "exception-cause-fqcn",
        "exception-stacktrace",
        "connector.name",
        "stage",
        "exception.class.name",
        "exception.stacktrace",
    )
    return "\n".join(f"{name}: {words}" for name in names if (words := _words(said, name)))


def _words(said: dict[str, bytes], *names: str) -> str:
    return next((text for name in names if (text := (said.get(name) or b"").decode("utf-8", "replace"))), "")
