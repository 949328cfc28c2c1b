"""The file of the embedded log is deleted or replaced while processes use it: each notices and goes no further."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conformance.log_groups import fill
from tests.conformance.log_harness import PATIENCE, Member
from topics.errors import LogReplaced
from topics.log import Partition
from topics.names import TopicSpec
from topics.sqlite.log import SqliteLog

NOTICED_SECONDS = 5.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


@pytest.fixture
def log(path: Path) -> SqliteLog:
    log = SqliteLog(f"sqlite:///{path}")
    log.ensure_topics([TopicSpec("t")])
    fill(log, "t", 3)
    return log


def delete(path: Path) -> None:
    path.unlink()


def replace(path: Path) -> None:
    """By a sound log of another time, as a restored backup is."""
    other = SqliteLog(f"sqlite:///{path}.other")
    other.ensure_topics([TopicSpec("t")])
    other.close()
    Path(f"{path}.other").replace(path)


DELETED = "was (deleted|replaced by another file)"
"""A connection that is opened before anybody looks makes an empty file in the place of the one that is gone."""


@pytest.mark.parametrize(("lose", "says"), [(delete, DELETED), (replace, "was replaced by another file")])
async def test_a_consumer_notices(lose: Callable[[Path], None], says: str, log: SqliteLog, path: Path) -> None:
    """Its poll raises within seconds, idle or not, and it closes without another error; so does one that stands by."""
    owner, standing_by = Member(log, "g", "t"), Member(log, "g", "t")
    await owner.consumer.start()
    await owner.until(lambda: len(owner.records) == 3)
    await standing_by.consumer.start()
    lose(path)
    began = time.monotonic()
    for member in (owner, standing_by):
        with pytest.raises(LogReplaced, match=f"{path} {says}"):
            await member.consumer.poll(PATIENCE)
        assert time.monotonic() - began < NOTICED_SECONDS
        await member.consumer.close()
    log.close()


@pytest.mark.parametrize("lose", [delete, replace])
def test_a_producer_notices(lose: Callable[[Path], None], log: SqliteLog, path: Path) -> None:
    """Nothing is acknowledged that would be in a file which nobody reads."""
    producer = log.producer()
    producer.send("t", key=b"a", value=b"x").result(PATIENCE)
    lose(path)

    with pytest.raises(LogReplaced):
        producer.send("t", key=b"a", value=b"y").result(PATIENCE)
    producer.close()
    log.close()


@pytest.mark.parametrize("lose", [delete, replace])
def test_whoever_asks_the_log_notices(lose: Callable[[Path], None], log: SqliteLog, path: Path) -> None:
    """A reader and every question end in the same error."""
    reader = log.reader({Partition("t", 0): 0})
    assert len(reader.poll(PATIENCE)) == 3
    lose(path)

    with pytest.raises(LogReplaced):
        reader.poll(0.1)
    with pytest.raises(LogReplaced):
        log.end_offsets([Partition("t", 0)])
    with pytest.raises(LogReplaced):
        log.probe()
    reader.close()
    log.close()
