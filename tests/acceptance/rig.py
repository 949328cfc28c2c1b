"""What the acceptance tests share: a stage on either engine, a day's work for two applications, and the reckoning."""

from __future__ import annotations

import json
import random
import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from tests.kafka_broker import Broker
from tests.tools.forked import ForkedStage
from topics import names
from topics.event import codec
from topics.event.event import Event, Operation, Options
from topics.event.result import Result
from topics.log import Partition
from topics.open import open_log
from worker.demo.stage import Sandbox, Stage
from worker.engine.progress.metadata import Memory, decode

_LIBRARY_TRACEBACK = re.compile(r'^\{.*"logger": "kafka\.net\..*$', re.MULTILINE)
ENGINES = ["sqlite", pytest.param("kafka", marks=pytest.mark.kafka)]


@contextmanager
def stage_on(engine: str, folder: Path, request: pytest.FixtureRequest) -> Iterator[Stage]:
    """A stage with an empty log of that engine."""
    log = ""
    if engine == "kafka":
        broker: Broker = request.getfixturevalue("kafka")
        log = f"kafka://{broker.bootstrap}"
        empty = open_log(log)
        for topic in empty.topics("writeback."):
            empty.delete_topic(topic)
        empty.close()
    with ForkedStage(folder, log=log, env={"SANDBOX_TOKEN": "pat-test"}) as stage:
        stage.log.ensure_topics(names.DEFAULT.system_topics)
        yield stage


def connect(
    stage: Stage,
    name: str,
    sandbox: Sandbox | str,
    *options: str,
    connector: str = "",
    token: str = "env:SANDBOX_TOKEN",
) -> None:
    """A connection to a sandbox, or to where one will be; ``connector``: where it is not the name."""
    connector = connector or name
    base = (sandbox if isinstance(sandbox, str) else sandbox.url) + ("/api" if connector == "slack" else "")
    stage.writeback(
        "connections", "add", name, "--connector", connector, "--set", f"base_url={base}",
        "--set", "allow_private_addresses=true", "--secret", f"access_token={token}", "--no-test", *options,
    )  # fmt: skip


def wait_until(what: str, true: Callable[[], bool], *, within: float) -> None:
    until = time.monotonic() + within
    while not true():
        assert time.monotonic() < until, f"{what}: not within {within} s"
        time.sleep(0.05)


def left(stage: Stage, slug: str = "") -> int:
    """Events that are not done, of one connection or of all."""
    ours = stage.log.names
    lags = stage.log.lag(ours.worker_group, ours.events_prefix).items()
    return sum(lag.records for partition, lag in lags if not slug or partition.topic == ours.events_topic(slug))


def wait_done(stage: Stage, slug: str = "", *, within: float = 120.0) -> None:
    wait_until("every event is done", lambda: left(stage, slug) == 0, within=within)


@dataclass
class Work:
    """Events in the order they are emitted, and what the CRM must hold when all are done."""

    events: list[Event] = field(default_factory=list)
    contacts: dict[str, dict[str, str]] = field(default_factory=dict)
    """By email."""
    channels: dict[str, list[str]] = field(default_factory=dict)
    """The texts of each, in order."""


def existing_contacts(sandbox: Sandbox, count: int) -> list[tuple[str, str]]:
    """Contacts that are there before the work begins: id and email."""
    emails = [f"old{number}@x.example" for number in range(count)]
    made = existing(sandbox, "contacts", [{"email": email, "firstname": "0"} for email in emails])
    return [(record["id"], record["properties"]["email"]) for record in made]


def existing(sandbox: Sandbox, kind: str, properties: list[dict[str, str]]) -> list[dict[str, Any]]:
    """Records that are there before the work begins, as HubSpot shows them."""
    made: list[dict[str, Any]] = []
    for start in range(0, len(properties), 100):
        inputs = [{"properties": each, "associations": []} for each in properties[start : start + 100]]
        call = Request(
            f"{sandbox.url}/crm/v3/objects/{kind}/batch/create",
            json.dumps({"inputs": inputs}).encode(),
            {"Authorization": "Bearer pat-test", "Content-Type": "application/json"},
        )
        with urlopen(call) as answer:
            made += json.load(answer)["results"]
    return made


def days_work(seed: int, count: int, old: list[tuple[str, str]], *, messages: int = 0) -> Work:
    """Adds, upserts, updates and deletes for HubSpot, messages for Slack, mixed; every key's order matters."""
    dice = random.Random(seed)
    work = Work(contacts={email: {"email": email, "firstname": "0"} for _, email in old})
    alive = dict(old)
    for number in range(count - messages):
        kind = dice.choices(["add", "upsert", "update", "delete"], [25, 40, 30, 5])[0]
        if kind == "add":
            _contact(work, Operation.ADD, f"new{number}@x.example", number)
        elif kind == "upsert" or not alive:
            _contact(work, Operation.UPSERT, f"up{dice.randrange(200)}@x.example", number)
        else:
            record = dice.choice(sorted(alive))
            _existing(work, Operation(kind), record, alive[record], number)
            if kind == "delete":
                del alive[record]
    for number in range(messages):
        channel = f"room-{number % 20}"
        text = f"alert {number}"
        work.channels.setdefault(channel, []).append(text)
        fields = {"channel": channel, "text": text}
        event = Event(operation=Operation.MESSAGE, connection="slack", object="message", key=channel, fields=fields)
        work.events.append(event)
    return work


def _contact(work: Work, operation: Operation, email: str, number: int) -> None:
    fields = {"email": email, "firstname": str(number)}
    event = Event(operation=operation, connection="hubspot", object="contact", key=email, fields=fields)
    work.events.append(event)
    work.contacts[email] = fields


def _existing(work: Work, operation: Operation, record: str, email: str, number: int) -> None:
    fields = {"id": record} if operation is Operation.DELETE else {"id": record, "firstname": str(number)}
    event = Event(operation=operation, connection="hubspot", object="contact", key=record, fields=fields)
    work.events.append(event)
    if operation is Operation.DELETE:
        del work.contacts[email]
    else:
        work.contacts[email] = {"email": email, "firstname": str(number)}


def emit(stage: Stage, events: list[Event]) -> None:
    producer = stage.log.producer()
    for event in events:
        topic = stage.log.names.events_topic(event.connection)
        producer.send(topic, **codec.encode(event)._asdict())
    producer.flush()
    producer.close()


def reckon(stage: Stage, work: Work, crm: Sandbox, chat: Sandbox | None = None) -> None:
    """Nothing lost, nothing out of order, nothing doubled but what is told."""
    results = stage.results()
    check_outcomes(work, results)
    check_contacts(work, crm)
    if chat is not None:
        check_messages(work, results, chat)


def check_outcomes(work: Work, results: list[Result]) -> None:
    dead = [(result.id, result.reason) for result in results if result.outcome == "dead"]
    assert not dead, dead[:3]
    assert {event.id for event in work.events} == {result.id for result in results}


def check_contacts(work: Work, crm: Sandbox) -> None:
    records = crm.state()["hubspot"]["records"]["contacts"].values()
    emails = Counter(record["email"] for record in records)
    doubled = [email for email, count in emails.items() if count > 1]
    held = {record["email"]: record["firstname"] for record in records}
    expected = {email: contact["firstname"] for email, contact in work.contacts.items()}

    assert not doubled
    assert held == expected


def check_messages(work: Work, results: list[Result], chat: Sandbox) -> None:
    told = {result.id for result in results if result.possible_duplicate}
    by_text = {event.fields["text"]: event.id for event in work.events if event.object == "message"}
    posted = defaultdict(list)
    for name, messages in chat.state()["slack"]["channels"].items():
        posted[name] = [message["text"] for message in messages]
    for channel, texts in work.channels.items():
        seen = posted[channel]
        assert list(dict.fromkeys(seen)) == texts, channel
        doubled = {text for text, count in Counter(seen).items() if count > 1}
        untold = [text for text in doubled if by_text[text] not in told]
        assert not untold, f"{channel}: doubled and nobody was told: {untold}"


def events_partition(slug: str) -> Partition:
    return Partition(names.DEFAULT.events_topic(slug), 0)


def no_traceback(stage: Stage, name: str = "worker") -> None:
    """None of ours: the Kafka library prints one of its own when a broker dies in the middle of a word."""
    log = _LIBRARY_TRACEBACK.sub("", (stage.folder / f"{name}.log").read_text())
    assert "Traceback" not in log, log[log.index("Traceback") - 500 :][:3_000]


def upserts(connection: str, count: int, *, first: int = 0) -> list[Event]:
    """Contacts of HubSpot, each its own key."""
    return [
        Event(
            operation=Operation.UPSERT,
            connection=connection,
            object="contact",
            key=email,
            fields={"email": email, "firstname": str(number)},
        )
        for number in range(first, first + count)
        for email in [f"{connection}{number}@x.example"]
    ]


def adds(connection: str, emails: list[str]) -> list[Event]:
    return [
        Event(
            operation=Operation.ADD,
            connection=connection,
            object="contact",
            key=email,
            fields={"email": email, "firstname": "0"},
        )
        for email in emails
    ]


def calls(
    connection: str, count: int, *, path: str, keys: int, word: str = "call", backfill: bool = False
) -> list[Event]:
    """Raw calls that write a word and a number into one record of HubSpot's: nothing can batch them."""
    return [
        Event(
            operation=Operation.UPDATE,
            connection=connection,
            object=word,
            key=str(number % keys),
            fields={"path": path, "body": {"properties": {"phone": f"{word} {number}"}}},
            options=Options(backfill=backfill),
        )
        for number in range(count)
    ]


def memory(stage: Stage, slug: str) -> Memory:
    """What the worker has committed of the first partition beside the offset."""
    commit = stage.log.committed(names.DEFAULT.worker_group, [events_partition(slug)])[events_partition(slug)]
    return decode(commit.offset, commit.metadata) if commit else Memory()


def letters(stage: Stage) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stage.writeback("dead-letters", "export").stdout.splitlines()]


def said(stage: Stage, name: str = "worker", **fields: Any) -> list[dict[str, Any]]:
    """What a worker has logged with these fields."""
    lines = (stage.folder / f"{name}.log").read_text().splitlines()
    events = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
    return [event for event in events if fields.items() <= event.items()]


def ledger_of(sandbox: Sandbox) -> list[dict[str, Any]]:
    return [entry for entry in sandbox.ledger() if entry["performed"]]
