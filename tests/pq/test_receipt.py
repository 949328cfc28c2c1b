"""A receipt reads like the seed's dict, and waits only when looked into."""

from __future__ import annotations

import json
import pickle
from concurrent.futures import Future
from typing import Any

import pytest

from pq.receipt import Receipt
from topics.errors import LogUnavailable
from topics.event.result import Outcome, Result
from topics.log import Partition, Position


class Channel:
    """Settles a receipt when it is waited for, and counts the waits."""

    def __init__(self, result: Result | None = None) -> None:
        self.result = result
        self.waits: list[float] = []
        self.failures: list[str] = []

    def wait_for(self, receipt: Receipt, seconds: float) -> None:
        self.waits.append(seconds)
        if self.result is not None:
            receipt.settle(self.result)

    def why_pending(self, receipt: Receipt) -> str:
        return "the connection is paused"

    def sent(self, position: Position) -> None: ...

    def not_sent(self, receipt: Receipt, error: BaseException) -> None:
        self.failures.append(str(error))


def result(outcome: Outcome = "delivered", **more: Any) -> Result:
    topic = "writeback.events.hubspot"
    return Result("1", outcome, "hubspot", "contact", "add", None, topic, 0, 0, attempts=1, time=0.0, **more)


def receipt(channel: Channel) -> Receipt:
    return Receipt("1", channel, 1_800.0)


SUCCESS = {"status": "success", "detail": {"id": "101"}}


def test_reads_like_a_dict() -> None:
    """Every way of looking into a dict works, and gives the outcome."""
    answer = receipt(Channel(result(detail={"id": "101"})))

    assert answer["status"] == "success"
    assert answer == SUCCESS
    assert dict(answer) == SUCCESS
    assert {**answer} == SUCCESS
    assert str(answer) == str(SUCCESS)
    assert f"{answer}" == "%s" % answer == repr(SUCCESS)  # noqa: UP031 - the seed's own way
    assert list(answer) == ["status", "detail"]
    assert answer.get("detail") == {"id": "101"}
    assert answer.get("nothing", 7) == 7
    assert "status" in answer
    assert len(answer) == 2
    assert json.loads(json.dumps(dict(answer))) == SUCCESS
    assert pickle.loads(pickle.dumps(answer)) == SUCCESS


def test_waits_only_when_looked_into_and_once() -> None:
    """Making one, asking its id, its truth and whether it is done wait for nothing."""
    channel = Channel(result())
    answer = receipt(channel)
    untouched = (answer.id, bool(answer), answer.done, list(channel.waits))
    answer["status"], answer["detail"]

    assert untouched == ("1", True, False, [])
    assert channel.waits == [1_800.0]


def test_a_dead_letter_reads_as_an_error() -> None:
    """The detail has the vendor's words and the letter."""
    answer = receipt(Channel(result("dead", reason="HTTP 400: no such property", letter="abc")))

    assert answer == {"status": "error", "detail": "HTTP 400: no such property (dead letter abc)"}


def test_superseded_is_a_success() -> None:
    """What a later write of the same record replaced has arrived by it."""
    assert receipt(Channel(result("superseded")))["status"] == "success"


def test_time_is_up() -> None:
    """Pending says why; a later look asks again."""
    channel = Channel()
    answer = receipt(channel)
    first = dict(answer)
    channel.result = result(detail={"id": "101"})

    assert first == {"status": "pending", "detail": "the connection is paused"}
    assert answer == SUCCESS


def test_what_the_log_did_not_take_is_an_error() -> None:
    """A failed send is the answer, and is told to the channel."""
    channel = Channel()
    answer = receipt(channel)
    sent: Future[Position] = Future()
    answer.track(sent)
    sent.set_exception(LogUnavailable("kafka://host does not answer"))

    assert answer == {"status": "error", "detail": "the log did not take it: kafka://host does not answer"}
    assert channel.failures == ["kafka://host does not answer"]


def test_a_send_that_succeeds_settles_nothing() -> None:
    """In the log is not yet delivered."""
    answer = receipt(Channel())
    sent: Future[Position] = Future()
    answer.track(sent)
    sent.set_result(Position(Partition("writeback.events.hubspot", 0), 3))

    assert not answer.done


def test_an_unknown_name_raises() -> None:
    """As a dict does."""
    with pytest.raises(KeyError):
        receipt(Channel(result()))["nothing"]
