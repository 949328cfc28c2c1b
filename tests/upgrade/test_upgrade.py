"""A store and a log that an older release made, with work in them, are worked on by this one (``make.py``)."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import psycopg
import pytest

from tests.acceptance import rig
from tests.tools.forked import ForkedStage
from tests.upgrade.make import ENVIRONMENT, create_contact, update
from worker.demo.stage import Stage

HERE = Path(__file__).parent
STORES = ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)]


def _unpack(name: str, folder: Path) -> None:
    with gzip.open(HERE / name) as packed, (folder / Path(name).stem).open("wb") as whole:
        shutil.copyfileobj(packed, whole)


@pytest.fixture(params=STORES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The older store; its log lies beside it."""
    _unpack(f"{request.param}/log.db.gz", tmp_path)
    if request.param == "sqlite":
        _unpack("sqlite/store.db.gz", tmp_path)
        return f"sqlite:///{tmp_path}/store.db"
    url: str = request.getfixturevalue("postgres_url")
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(gzip.decompress((HERE / "postgresql/store.sql.gz").read_bytes()))
    return url


@pytest.mark.acceptance
@pytest.mark.timeout(300)
def test_work_goes_on_where_the_older_release_stopped(url: str, tmp_path: Path) -> None:
    """What waited is delivered, what died is listed, edited, replayed and delivered; decisions stay as they were."""
    with ForkedStage(tmp_path, store=url, env=ENVIRONMENT) as stage:
        crm = stage.sandbox(name="crm")
        ada = create_contact(crm, "ada@x.example")
        before = {letter["id"]: letter for letter in stage.json("dead-letters", "list", "--state", "all")}
        keys = {letter["event_key"]: letter["id"] for letter in before.values() if letter["verdict"] == "rejected"}
        trails = {key: stage.json("dead-letters", "show", letter)["trail"] for key, letter in keys.items()}
        parked = stage.json("dead-letters", "parked")
        stage.writeback("connections", "set", "hubspot", "--set", f"base_url={crm.url}")
        stage.writeback("dead-letters", "edit", keys[ada], "--set", "email=ada@x.example")
        stage.writeback(
            "dead-letters",
            "edit",
            keys["edited@refused.example"],
            "--key",
            "edited@x.example",
            "--set",
            "email=edited@x.example",
        )
        worker = stage.worker()
        stage.writeback("dead-letters", "replay", "--connection", "hubspot", "--yes")
        update(stage, ada, firstname="4")
        rig.wait_done(stage)
        rig.wait_until("ada's record flows", lambda: _letters_of(stage, ada) == [], within=60)
        stage.stop(worker)
        rig.no_traceback(stage)
        connections = {each["name"]: each["state"] for each in stage.json("connections", "list")}
        discarded = stage.json("dead-letters", "list", "--state", "discarded")
        held = {each["email"]: each["firstname"] for each in crm.state()["hubspot"]["records"]["contacts"].values()}

    assert sorted(letter["state"] for letter in before.values()) == ["discarded", *["open"] * 5, "replayed"]
    assert {key.partition("@")[0]: [done["what"] for done in trail] for key, trail in trails.items()} == {
        "edited": ["edit"],
        "noted": ["note"],
        "discarded": ["discard"],
        "replayed": ["replay"],
        ada: [],
    }
    assert [key["record_key"] for key in parked][-1] == f"contact/{ada}"
    assert connections == {"hubspot": "active", "Team": "paused"}
    assert [letter["event_key"] for letter in discarded] == ["discarded@refused.example"]
    assert held == {"ada@x.example": "4", "edited@x.example": "2", "waiting@x.example": "2"}


def _letters_of(stage: Stage, record: str) -> list[str]:
    letters = stage.json("dead-letters", "list", "--state", "open")
    return [letter["id"] for letter in letters if letter["event_key"] == record]
