"""Names of topics, and what each topic is made with."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from topics import names
from topics.names import FOREVER_MS


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
    assert len(names.DEFAULT.events_topic(slug)) <= 249
    assert names.slug_of(names.DEFAULT.events_topic(slug)) == slug


def test_slug_of_other_topics() -> None:
    """Only events topics belong to a connection."""
    assert [names.slug_of(spec.name) for spec in names.DEFAULT.system_topics] == [None] * 4


def test_the_pattern_takes_events_only() -> None:
    """The worker's pattern matches every events topic and none of ours besides."""
    assert re.fullmatch(names.DEFAULT.events_pattern, names.DEFAULT.events_topic("hubspot-eu"))
    assert not any(re.fullmatch(names.DEFAULT.events_pattern, spec.name) for spec in names.DEFAULT.system_topics)
    assert not re.fullmatch(names.DEFAULT.events_pattern, "writeback_events_hubspot")


PREFIX = st.from_regex(r"[a-z0-9]([a-z0-9._-]{0,12}[a-z0-9])?", fullmatch=True).filter(
    lambda prefix: not set(prefix.split(".")) & set(names.RESERVED)
)


@settings(deadline=None)
@given(PREFIX, PREFIX)
def test_no_installation_reads_another_ones_topics(one: str, other: str) -> None:
    """Whatever the prefixes, one that begins with the other, too: neither takes a topic of the other for its own."""
    ours, theirs = names.Names(names.check_prefix(one)), names.Names(names.check_prefix(other))
    foreign = [theirs.events_topic("hubspot"), *(spec.name for spec in theirs.system_topics)]

    if one != other:
        assert not any(ours.owns(topic) or re.fullmatch(ours.events_pattern, topic) for topic in foreign)
        assert {ours.worker_group, ours.archive_group}.isdisjoint({theirs.worker_group, theirs.archive_group})
    else:
        assert all(ours.owns(topic) for topic in foreign)


def test_a_prefix_that_begins_with_another() -> None:
    """The installation `a` leaves everything of `a.b` alone."""
    assert not names.Names("a").owns("a.b.events.hubspot")
    assert not re.fullmatch(names.Names("a").events_pattern, "a.b.events.hubspot")
    assert names.slug_of("a.b.events.hubspot") == "hubspot"


@pytest.mark.parametrize(
    ("prefix", "says"),
    [
        ("", "is made of letters"),
        ("a b", "is made of letters"),
        ("-a", "begins and ends"),
        ("a.", "begins and ends"),
        ("..", "begins and ends"),
        ("größe", "is made of letters"),
        ("x" * 179, "179 characters"),
        ("events", "'events' between its dots"),
        ("a.results.b", "'results' between its dots"),
        ("a.dead-letter", "'dead-letter' between its dots"),
    ],
)
def test_what_is_no_prefix(prefix: str, says: str) -> None:
    """The message says what is wrong with it."""
    with pytest.raises(ValueError, match=says):
        names.check_prefix(prefix)


def test_the_longest_prefix_makes_legal_topics() -> None:
    """With the longest prefix and the longest slug a topic is as long as Kafka lets it be."""
    longest = names.Names(names.check_prefix("x" * names.MAX_PREFIX))

    assert len(longest.events_topic("y" * 63)) == names.MAX_TOPIC


def test_what_must_not_evaporate_is_kept_for_ever() -> None:
    """Events, refresh requests and letters are kept until we delete them; answers and the ledger for weeks."""
    specs = {spec.name: spec for spec in (*names.DEFAULT.system_topics, names.DEFAULT.events_spec("hubspot"))}

    assert {name for name, spec in specs.items() if spec.retention_ms == FOREVER_MS} == {
        "writeback.events.hubspot",
        "writeback.refresh",
        "writeback.dead-letter",
    }


def test_a_letter_is_larger_than_its_event() -> None:
    """The topic of the letters takes the largest event and all that a letter adds."""
    specs = {spec.name: spec for spec in names.DEFAULT.system_topics}

    assert specs[names.DEFAULT.dead_letter].max_record_bytes >= names.MAX_REPLAYED_BYTES + names.MAX_EVIDENCE_BYTES


def test_partitions_of_a_connection() -> None:
    """A connection's topic has one partition unless it says otherwise."""
    assert names.DEFAULT.events_spec("hubspot").partitions == 1
    assert names.DEFAULT.events_spec("hubspot", 4).partitions == 4
