"""Topic and group names, and what each topic is made with.

One topic per connection, so that a dead destination pauses its own topic and no one else's. Events, refresh and
dead-letter topics keep records for ever: Kafka's default of seven days would let a paused topic evaporate.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

MAX_EVENT_BYTES = 1_048_576
"""The largest event, key and headers included (Kafka's own default for a message)."""
MAX_REPLAYED_BYTES = MAX_EVENT_BYTES + 1_024
"""What an events topic takes: the largest event that came back from the dead letters carries two more headers."""
MAX_EVIDENCE_BYTES = 262_144
"""What a letter adds to its event at the most."""
MAX_LETTER_BYTES = MAX_EVENT_BYTES + 1_048_576

FOREVER_MS = -1
WEEK_MS = 7 * 24 * 3_600 * 1_000
REPLY_PARTITIONS = 8
REFRESH_PARTITIONS = 8
"""Refreshers that can share the connections among them; the requests of one connection lie in one partition."""

SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")

MAX_TOPIC = 249
"""Characters of a topic's name, as Kafka has it: ``org.apache.kafka.common.internals.Topic``."""
MAX_PREFIX = MAX_TOPIC - len(".events.") - 63
RESERVED = ("events", "refresh", "replies", "results", "dead-letter")

_PREFIX = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")


@dataclass(frozen=True, slots=True)
class TopicSpec:
    name: str
    partitions: int = 1
    retention_ms: int = FOREVER_MS
    max_record_bytes: int = 1_048_576
    config: Mapping[str, str] = field(default_factory=dict)


class Names:
    """What one installation calls its topics and groups. Several share a log, each with a prefix of its own.

    No topic of one is taken for another's: slugs have no dots, and a prefix has none of the reserved words.
    """

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.events_prefix = f"{prefix}.events."
        self.events_pattern = re.escape(self.events_prefix) + "[^.]+"
        self.refresh = f"{prefix}.refresh"
        self.replies = f"{prefix}.replies"
        self.results = f"{prefix}.results"
        self.dead_letter = f"{prefix}.dead-letter"
        self.worker_group = f"{prefix}-worker"
        self.archive_group = f"{prefix}-archive"
        self.refresher_group = f"{prefix}-refresher"
        self.system_topics = (
            TopicSpec(self.refresh, partitions=REFRESH_PARTITIONS),
            TopicSpec(
                self.replies, partitions=REPLY_PARTITIONS, retention_ms=WEEK_MS, max_record_bytes=MAX_LETTER_BYTES
            ),
            TopicSpec(self.results, retention_ms=4 * WEEK_MS, max_record_bytes=MAX_LETTER_BYTES),
            TopicSpec(self.dead_letter, max_record_bytes=MAX_LETTER_BYTES),
        )

    def events_topic(self, slug: str) -> str:
        return self.events_prefix + slug

    def events_spec(self, slug: str, partitions: int = 1) -> TopicSpec:
        return TopicSpec(self.events_topic(slug), partitions=partitions, max_record_bytes=MAX_REPLAYED_BYTES)

    def owns(self, topic: str) -> bool:
        """Whether it is a topic of this installation: events of a connection, or one of ``system_topics``."""
        system = (self.refresh, self.replies, self.results, self.dead_letter)
        return topic in system or re.fullmatch(self.events_pattern, topic) is not None


DEFAULT = Names("writeback")


def check_prefix(prefix: str) -> str:
    """The prefix; raises ``ValueError`` that says what a prefix is."""
    if not _PREFIX.fullmatch(prefix):
        raise ValueError(
            f"is {prefix!r}; it is made of letters, digits, dots, dashes and underscores, and begins and ends with a "
            "letter or digit"
        )
    if len(prefix) > MAX_PREFIX:
        raise ValueError(f"has {len(prefix)} characters; it may have {MAX_PREFIX}, so that Kafka takes the topics")
    if taken := set(prefix.split(".")) & set(RESERVED):
        raise ValueError(
            f"has {min(taken)!r} between its dots; {', '.join(RESERVED)} are what follows a prefix in our topics"
        )
    return prefix


def slugify(name: str) -> str:
    """The connection's part of a topic name: lower-case letters, digits and dashes, at most 63.

    Raises ``ValueError`` for a name without a single letter or digit.
    """
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:63].rstrip("-")
    if not SLUG.fullmatch(slug):
        raise ValueError(f"{name!r} has no letter or digit to make a topic name of")
    return slug


def slug_of(topic: str) -> str | None:
    """The connection whose events topic this is, whatever the prefix, or None for any other topic."""
    prefix, events, slug = topic.rpartition(".events.")
    return slug if prefix and events and slug and "." not in slug else None


def is_refresh(topic: str) -> bool:
    """Whether it is the topic of refresh requests, whatever the prefix."""
    return topic.endswith(".refresh") and slug_of(topic) is None
