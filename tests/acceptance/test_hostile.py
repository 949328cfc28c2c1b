"""Records that nobody should send: each a dead letter with its own bytes and a reason that names the problem."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from tests.acceptance import rig
from tests.tools.forked import ForkedStage
from topics import names
from topics.event import codec
from topics.event.event import Event, Operation
from topics.log import Headers

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(240)]

HUBSPOT = names.DEFAULT.events_topic("hubspot")
GHOST = names.DEFAULT.events_topic("ghost")
GOOD = codec.encode(
    Event(operation=Operation.UPSERT, connection="hubspot", object="contact", key="a", fields={"email": "a@x.example"})
)


def _changed(**headers: bytes) -> Headers:
    return tuple((name, headers.get(name, value)) for name, value in GOOD.headers)


def _as(operation: Operation, object_name: str, connection: str = "hubspot") -> codec.Encoded:
    return codec.encode(
        Event(operation=operation, connection=connection, object=object_name, fields={"email": "b@x.example"})
    )


RECORDS: list[tuple[str, str, bytes | None, bytes | None, Headers, str]] = [
    # name, topic, key, value, headers, what the reason must say
    ("no JSON", HUBSPOT, b"k", b"{not json", GOOD.headers, "not JSON"),
    ("a list", HUBSPOT, b"k", b"[1]", GOOD.headers, "not an object"),
    ("no value", HUBSPOT, b"k", None, GOOD.headers, "no value"),
    ("neither key nor value", HUBSPOT, None, b"", (), "not JSON"),
    ("UTF-8 that is none", HUBSPOT, b"\xff\xfe", b'{"email": "\xff\xfe"}', GOOD.headers, "not JSON"),
    ("a header that is no UTF-8", HUBSPOT, b"k", GOOD.value, _changed(ce_source=b"\xff\x00"), "UTF-8"),
    ("an operation that is none", HUBSPOT, b"k", GOOD.value, _changed(ce_type=b"writeback.dance"), "writeback.dance"),
    ("a subject without an object", HUBSPOT, b"k", GOOD.value, _changed(ce_subject=b"hubspot"), "ce_subject"),
    ("a time that is none", HUBSPOT, b"k", GOOD.value, _changed(ce_time=b"yesterday"), "time"),
    ("a megabyte of nothing", HUBSPOT, b"k", b"x" * 1_000_000, GOOD.headers, "not JSON"),
    ("another's event", HUBSPOT, b"k", *_as(Operation.ADD, "contact", "slack")[1:], "slack"),
    ("an unknown function", HUBSPOT, b"k", *_as(Operation.ADD, "spaceship")[1:], "spaceship"),
    ("an unknown connection", GHOST, b"k", *_as(Operation.ADD, "contact", "ghost")[1:], "ghost"),
]  # fmt: skip


@pytest.mark.parametrize("engine", rig.ENGINES)
def test_hostile_records_are_dead_lettered_and_the_worker_goes_on(
    engine: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Each ends in the dead letters with its original bytes; the good event behind them is delivered."""
    with rig.stage_on(engine, tmp_path, request) as stage:
        crm = stage.sandbox(name="crm")
        rig.connect(stage, "hubspot", crm)
        stage.log.ensure_topics([names.DEFAULT.events_spec("ghost")])
        worker = stage.worker()
        producer = stage.log.producer()
        for _, topic, key, value, headers, _ in RECORDS:
            producer.send(topic, key=key, value=value, headers=headers)
        producer.send(HUBSPOT, key=GOOD.key, value=GOOD.value, headers=GOOD.headers)
        producer.flush()
        producer.close()
        stage.writeback("topics", "bury", "ghost", "--yes")  # else it waits: it may be another store's
        rig.wait_done(stage)
        # one look may say that the newest may be missing: a broker on a busy machine is slow to answer
        rig.wait_until("all letters can be listed", lambda: len(rig.letters(stage)) >= len(RECORDS), within=60)
        letters = rig.letters(stage)
        stage.stop(worker)
        held = crm.state()["hubspot"]["records"]["contacts"]

        assert [record["email"] for record in held.values()] == ["a@x.example"]
        assert len(letters) == len(RECORDS)
        for name, _, key, value, headers, words in RECORDS:
            original = {
                "key": None if key is None else _text(key),
                "value": None if value is None else _text(value),
                "headers": [[header, _text(content)] for header, content in headers],
            }
            found = [one for one in letters if original.items() <= one["letter"]["record"].items()]
            assert [words in one["reason"] for one in found] == [True], f"{name}: {[one['reason'] for one in found]}"
        rig.no_traceback(stage)


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()


def test_wrong_settings_are_told_all_at_once(tmp_path: Path) -> None:
    """One message names every wrong variable, and the exit code is 2."""
    with ForkedStage(tmp_path) as stage:
        done = stage.writeback(
            "worker", codes=[2],
            WRITEBACK_LOG="rabbit://x", WRITEBACK_GRACE_SECONDS="soon",
            WRITEBACK_BUDGET_RECORDS="-1", WRITEBACK_LGO="x",
        )  # fmt: skip

    for name in ("WRITEBACK_LOG", "WRITEBACK_GRACE_SECONDS", "WRITEBACK_BUDGET_RECORDS", "WRITEBACK_LGO"):
        assert name in done.stderr
    assert "Traceback" not in done.stderr
    assert json.dumps(done.stdout) == '""'
