"""Topic and group names, and what each topic is made with.

One topic per connection, so that a dead destination pauses its own topic and no one else's. Events, refresh and
dead-letter topics keep records for ever: Kafka's default of seven days would let a paused topic evaporate.
"""

from __future__ import annotations

import re

from topics.log import TopicSpec

EVENTS_PREFIX = "writeback.events."
EVENTS_PATTERN = r"writeback\.events\..+"
REFRESH = "writeback.refresh"
REPLIES = "writeback.replies"
RESULTS = "writeback.results"
DEAD_LETTER = "writeback.dead-letter"

WORKER_GROUP = "writeback-worker"
ARCHIVE_GROUP = "writeback-archive"
REFRESHER_GROUP = "writeback-refresher"

MAX_EVENT_BYTES = 1_048_576
"""The largest event, key and headers included (Kafka's own default for a message)."""
MAX_REPLAYED_BYTES = MAX_EVENT_BYTES + 1_024
"""What an events topic takes: the largest event that came back from the dead letters carries two more headers."""
MAX_EVIDENCE_BYTES = 262_144
"""What a letter adds to its event at the most."""
MAX_LETTER_BYTES = MAX_EVENT_BYTES + 1_048_576

WEEK_MS = 7 * 24 * 3_600 * 1_000
REPLY_PARTITIONS = 8
REFRESH_PARTITIONS = 8
"""Refreshers that can share the connections among them; the requests of one connection lie in one partition."""

SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


def slugify(name: str) -> str:
    """The connection's part of a topic name: lower-case letters, digits and dashes, at most 63.

    Raises ``ValueError`` for a name without a single letter or digit.
    """
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:63].rstrip("-")
    if not SLUG.fullmatch(slug):
        raise ValueError(f"{name!r} has no letter or digit to make a topic name of")
    return slug


def events_topic(slug: str) -> str:
    return EVENTS_PREFIX + slug


def slug_of(topic: str) -> str | None:
    """The connection whose events topic this is, or None for any other topic."""
    return topic.removeprefix(EVENTS_PREFIX) if topic.startswith(EVENTS_PREFIX) else None


def events_spec(slug: str, partitions: int = 1) -> TopicSpec:
    return TopicSpec(events_topic(slug), partitions=partitions, max_record_bytes=MAX_REPLAYED_BYTES)


SYSTEM_TOPICS = (
    TopicSpec(REFRESH, partitions=REFRESH_PARTITIONS),
    TopicSpec(REPLIES, partitions=REPLY_PARTITIONS, retention_ms=WEEK_MS, max_record_bytes=MAX_LETTER_BYTES),
    TopicSpec(RESULTS, retention_ms=4 * WEEK_MS, max_record_bytes=MAX_LETTER_BYTES),
    TopicSpec(DEAD_LETTER, max_record_bytes=MAX_LETTER_BYTES),
)
