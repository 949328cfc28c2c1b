"""A script's surroundings: settings, a store with connections, the embedded log, and somebody who answers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors import registry
from connectors.connections.store import Connections
from pq import _current
from pq._scripts import ScriptStates
from pq._session import Session
from topics.event.codec import decode
from topics.event.event import Event
from topics.event.result import Outcome, Result, pack
from topics.log import Log, Partition, Record
from topics.names import DEFAULT
from topics.settings import Settings
from topics.store import open_store

SECRET_KEY = "a-key-for-tests-long-enough"


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The environment of a script (and of the processes it starts), in a folder of its own."""
    for name in list(os.environ):
        if name.startswith("WRITEBACK_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WRITEBACK_LOG", f"sqlite:///{tmp_path}/log.db")
    monkeypatch.setenv("WRITEBACK_STORE", f"sqlite:///{tmp_path}/store.db")
    return Settings()


@pytest.fixture
def connections(settings: Settings) -> Iterator[Connections]:
    """Hubspot and Slack; the secret key is not in the script's environment."""
    engine = open_store(settings.store)
    made = Connections(engine, SECRET_KEY, check=registry.check)
    nowhere = {"base_url": "http://127.0.0.1:9", "allow_private_addresses": True}
    made.add("Hubspot", "hubspot", settings=nowhere, secrets={"access_token": "t"})
    made.add("Slack", "slack", settings=nowhere, secrets={"access_token": "t"})
    yield made
    engine.dispose()


@pytest.fixture
def log(settings: Settings) -> Iterator[Log]:
    opened = settings.open_log()
    yield opened
    opened.close()


@pytest.fixture
def session(log: Log, connections: Connections, settings: Settings) -> Iterator[Session]:
    """The session of this process, as ``pq.connect`` would open it."""
    engine = open_store(settings.store)
    made = Session(log, connections, ScriptStates(engine), source="test")
    before = _current.replace(made)
    yield made
    _current.replace(before)
    made.close()
    engine.dispose()


def records(log: Log, topic: str) -> list[Record]:
    """Everything in a topic of one partition."""
    place = Partition(topic, 0)
    end = log.end_offsets([place])[place]
    reader = log.reader({place: 0})
    found: list[Record] = []
    while len(found) < end:
        found += reader.poll(1.0)
    reader.close()
    return found


@pytest.fixture
def emitted(log: Log) -> Callable[[str], list[Event]]:
    """The events of a connection, as a worker would read them."""
    return lambda slug: [decode(record) for record in records(log, DEFAULT.events_topic(slug))]


@pytest.fixture
def answer(log: Log) -> Iterator[Callable[..., None]]:
    """Does what a worker does for those who wait: publishes the outcome of an event where it asked for it."""
    producer = log.producer(name="answers")

    def publish(event: Event, outcome: Outcome = "delivered", **more: Any) -> None:
        topic = DEFAULT.events_topic(event.connection)
        result = Result(
            event.id, outcome, event.connection, event.object, event.operation, event.key, topic, 0, 0, 1, 0.0, **more
        )
        assert event.options.reply_to is not None
        sent = producer.send(
            DEFAULT.replies, key=event.id.encode(), value=pack([result]), partition=event.options.reply_to
        )
        sent.result(10)

    yield publish
    producer.close(5.0)
