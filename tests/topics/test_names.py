"""Names of topics, and what each topic is made with."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from topics import names
from topics.log import FOREVER_MS


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("Hubspot", "hubspot"),
        ("HubSpot EU (prod)", "hubspot-eu-prod"),
        ("  --Slack--  ", "slack"),
        ("a.b_c/d", "a-b-c-d"),
        ("Müller & Söhne", "m-ller-s-hne"),
        ("42", "42"),
        ("x" * 100, "x" * 63),
        ("x" * 62 + " y", "x" * 62),
    ],
)
def test_slugify(name: str, slug: str) -> None:
    """A slug is what is left of a name: lower-case letters, digits, single dashes, at most 63."""
    assert names.slugify(name) == slug


@pytest.mark.parametrize("name", ["", " ", "---", "!?", "日本"])
def test_nothing_left(name: str) -> None:
    """A name without a letter or digit makes no topic; the message shows it."""
    with pytest.raises(ValueError, match=re.escape(repr(name))):
        names.slugify(name)


@settings(deadline=None)
@given(st.text())
def test_every_slug_is_a_topic_name(name: str) -> None:
    """Whatever the name: a slug is a legal part of a Kafka topic name, and its own slug."""
    try:
        slug = names.slugify(name)
    except ValueError:
        return

    assert names.SLUG.fullmatch(slug)
    assert names.slugify(slug) == slug
    assert len(names.events_topic(slug)) <= 249
    assert names.slug_of(names.events_topic(slug)) == slug


def test_slug_of_other_topics() -> None:
    """Only events topics belong to a connection."""
    assert [names.slug_of(spec.name) for spec in names.SYSTEM_TOPICS] == [None] * 4


def test_the_pattern_takes_events_only() -> None:
    """The worker's pattern matches every events topic and none of ours besides."""
    assert re.fullmatch(names.EVENTS_PATTERN, names.events_topic("hubspot-eu"))
    assert not any(re.fullmatch(names.EVENTS_PATTERN, spec.name) for spec in names.SYSTEM_TOPICS)
    assert not re.fullmatch(names.EVENTS_PATTERN, "writeback_events_hubspot")


def test_what_must_not_evaporate_is_kept_for_ever() -> None:
    """Events, refresh requests and letters are kept until we delete them; answers and the ledger for weeks."""
    specs = {spec.name: spec for spec in (*names.SYSTEM_TOPICS, names.events_spec("hubspot"))}

    assert {name for name, spec in specs.items() if spec.retention_ms == FOREVER_MS} == {
        "writeback.events.hubspot",
        "writeback.refresh",
        "writeback.dead-letter",
    }


def test_a_letter_is_larger_than_its_event() -> None:
    """The topic of the letters takes the largest event and all that a letter adds."""
    specs = {spec.name: spec for spec in names.SYSTEM_TOPICS}

    assert specs[names.DEAD_LETTER].max_record_bytes >= names.MAX_REPLAYED_BYTES + names.MAX_EVIDENCE_BYTES


def test_partitions_of_a_connection() -> None:
    """A connection's topic has one partition unless it says otherwise."""
    assert names.events_spec("hubspot").partitions == 1
    assert names.events_spec("hubspot", 4).partitions == 4
