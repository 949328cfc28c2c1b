"""It may have happened: the vendor is asked before any second try, and where it cannot be asked, somebody is told."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.acceptance import rig
from topics.event.event import Event, Operation
from worker.demo.stage import Sandbox, Stage

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(180)]

FAULTS = ("dropped", "hung", "unavailable")
NONE = {f"{fault}{done}": 0.0 for fault in FAULTS for done in ("", "_performed")}
PATIENCE = ("--set", "timeout_seconds=1.5")


def test_hubspot_is_asked_before_a_second_try(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Carried out or not before the answer was lost, each record is there once, sent alone or among a hundred."""
    with rig.stage_on("sqlite", tmp_path, request) as stage:
        crm = stage.sandbox("--latency", "0.02", name="crm")
        rig.connect(stage, "hubspot", crm, "--rate", "1000", "--concurrency", "16", *PATIENCE)
        worker = stage.worker("worker")
        work = rig.Work()
        for count in (1, 100):
            for fault in NONE:
                _suffer(stage, crm, work, fault, count)
            crm.faults(**NONE)
        rig.wait_done(stage)
        stage.stop(worker)

        rig.reckon(stage, work, crm)
        batches = Counter(entry["request"] for entry in crm.ledger() if entry["fault"])
        assert max(batches.values()) == 100
        assert min(batches.values()) == 1
        assert not [result for result in stage.results() if result.possible_duplicate]
        rig.no_traceback(stage)


def _suffer(stage: Stage, crm: Sandbox, work: rig.Work, fault: str, count: int) -> None:
    """Emit so many adds, all of whose first calls end in that fault."""
    crm.faults(**{**NONE, fault: 1.0})
    emails = [f"{fault}-{count}-{number}@x.example" for number in range(count)]
    events = rig.adds("hubspot", emails)
    rig.emit(stage, events)
    work.events += events
    work.contacts |= {email: {"email": email, "firstname": "0"} for email in emails}
    rig.wait_until(f"{fault} hits all of {count}", lambda: set(emails) <= _hit(crm, fault), within=30)


def _hit(crm: Sandbox, fault: str) -> set[str]:
    kind = fault.removesuffix("_performed")
    return {entry["unique"] for entry in crm.ledger() if entry["fault"] == kind}


def test_slack_follows_its_policy(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Slack cannot be asked: a message goes again and is told of, or it is dead-lettered where the policy says so."""
    with rig.stage_on("sqlite", tmp_path, request) as stage:
        chat = stage.sandbox("--latency", "0.02", "--slack-rate", "0", "--open-channels", name="chat")
        rig.connect(stage, "slack", chat, *PATIENCE)
        rig.connect(stage, "careful", chat, "--on-unknown", "message=dead_letter", *PATIENCE, connector="slack")
        worker = stage.worker("worker")
        quiet = [message for name in ("slack", "careful") for message in _messages(name, "quiet", 5)]
        rig.emit(stage, quiet)
        rig.wait_done(stage)
        loud: dict[str, list[Event]] = {}
        for fault in NONE:
            loud[fault] = [message for name in ("slack", "careful") for message in _messages(name, fault, 1)]
            chat.faults(**{**NONE, fault: 1.0})
            rig.emit(stage, loud[fault])
            rig.wait_until(f"{fault} hits both", lambda fault=fault: _channels(chat, fault) == 2, within=30)  # type: ignore[misc]
        chat.faults(**NONE)
        rig.wait_done(stage)
        stage.stop(worker)
        results = {result.id: result for result in stage.results()}
        posted = {name: len(messages) for name, messages in chat.state()["slack"]["channels"].items()}

        for message in quiet:
            assert not results[message.id].possible_duplicate
            assert posted[message.fields["channel"]] == 1
        for fault, (told, dead_lettered) in loud.items():
            assert results[told.id].outcome == "delivered"
            assert results[told.id].possible_duplicate
            assert results[dead_lettered.id].outcome == "dead"
            assert posted[told.fields["channel"]] >= (2 if "performed" in fault else 1)
            assert posted.get(dead_lettered.fields["channel"], 0) == ("performed" in fault)
        assert [letter["letter"]["verdict"] for letter in rig.letters(stage)] == ["unknown-outcome"] * len(NONE)


def _messages(connection: str, word: str, count: int) -> list[Event]:
    return [
        Event(
            operation=Operation.MESSAGE,
            connection=connection,
            object="message",
            key=channel,
            fields={"channel": channel, "text": word},
        )
        for number in range(count)
        for channel in [f"{connection}-{word}-{number}"]
    ]


def _channels(chat: Sandbox, fault: str) -> int:
    """Channels that had a message in this fault."""
    hit = [entry for entry in chat.ledger() if entry["fault"] == fault.removesuffix("_performed")]
    return len({entry["unique"] for entry in hit if f"-{fault}-" in entry["unique"]})


@pytest.mark.parametrize("engine", rig.ENGINES)
def test_a_kill_between_call_and_commit(engine: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """A worker dies while its calls are carried out, one or a hundred: the next asks HubSpot, and tells of Slack."""
    with rig.stage_on(engine, tmp_path, request) as stage:
        crm = stage.sandbox("--latency", "2", "--slack-rate", "0", "--open-channels", name="crm")
        rig.connect(stage, "hubspot", crm, "--rate", "1000", "--concurrency", "4")
        rig.connect(stage, "single", crm, "--rate", "1000", "--concurrency", "4", connector="hubspot")
        rig.connect(stage, "slack", crm)
        emails = [f"new{number}@x.example" for number in range(201)]
        work = rig.Work(contacts={email: {"email": email, "firstname": "0"} for email in emails})
        messages = _messages("slack", "alert", 3)
        work.events = rig.adds("hubspot", emails[:200]) + rig.adds("single", emails[200:]) + messages
        rig.emit(stage, work.events)
        worker = stage.worker("worker")
        rig.wait_until("all calls are carried out", lambda: crm.state()["counts"].get("performed") == 204, within=60)
        worker.kill()
        worker.wait()
        assert rig.left(stage) == len(work.events)
        late = _messages("slack", "late", 3)
        rig.emit(stage, late)
        work.events += late
        worker = stage.worker("worker")
        rig.wait_done(stage)
        stage.stop(worker)
        created = [entry for entry in crm.ledger() if entry["operation"] == "create"]
        told = {result.key for result in stage.results() if result.possible_duplicate}
        posted = {name: len(texts) for name, texts in crm.state()["slack"]["channels"].items()}

        rig.reckon(stage, work, crm)
        assert len(created) == 201
        assert told == {message.key for message in messages}
        assert {posted[message.key or ""] for message in messages} == {2}
        assert {posted[message.key or ""] for message in late} == {1}
        rig.no_traceback(stage)
