"""The refresher, on both logs, with real processes for its runs."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest

from dead_letter.replay.replay import Replayer
from dead_letter.replay.selection import survey
from dead_letter.store.archive import catch_up
from dead_letter.store.filters import Filter
from dead_letter.store.store import LetterStore
from tests.dead_letter.samples import claimed
from tests.worker.refresher.asks import askers
from tests.worker.refresher.stand import QUICK, Stand, until
from topics import names
from topics.cli.pace import Pace
from topics.event.refresh import OwnWrites, RefreshRequest, encode
from topics.log import Commit, Partition
from worker.engine.settlement import deletion
from worker.refresher import leases
from worker.refresher.turn import RETRIES

pytestmark = pytest.mark.timeout(300)  # a broker may have to be started first


async def test_one_run(stand: Stand) -> None:
    """Requests of one burst are one run, for all that was asked for; each is in the ledger, and who waits is told."""
    stand.connect()
    async with stand.running():
        first = stand.ask(objects=("contact",), source="pq:a.py", reply_to=3)
        second = stand.ask(objects=("deal",), source="writeback refresh")
        await until(stand.finished)
        await until(lambda: stand.lag() == 0)
    [began] = stand.diary()
    assert (began["connection"], began["objects"], began["full"]) == ("odoo", ["contact", "deal"], False)
    [run] = stand.finished()
    assert (run.state, run.requests, run.attempt, run.rows) == ("ok", 2, 1, {"contact": 42})
    assert run.asked_by == ["pq:a.py", "writeback refresh"]
    assert {(result.id, result.outcome, result.operation, result.detail) for result in stand.results()} == {
        (first.id, "delivered", "refresh", run.id),
        (second.id, "delivered", "refresh", run.id),
    }
    [reply] = stand.replies()
    assert reply.id == first.id
    assert reply.detail["rows"] == {"contact": 42}
    assert (reply.detail["run"], reply.detail["requests"], reply.detail["pending_writes"]) == (run.id, 2, 0)


async def test_a_burst(stand: Stand) -> None:
    """A thousand requests from twenty processes at once are one run, two at most, and every one gets its result."""
    stand.connect(policy={"refresh": {"quiet": 2.0}})
    with askers(20, stand.url, 50) as pipes:
        async with stand.running():
            for pipe in pipes:
                assert await asyncio.to_thread(pipe.recv) == "ready"
            for pipe in pipes:
                pipe.send("go")
            told = [await asyncio.to_thread(pipe.recv) for pipe in pipes]
            await until(lambda: stand.lag() == 0)
    assert sum(answered for answered, _ in told) == 1_000
    assert 1 <= len({run for _, runs in told for run in runs}) <= 2
    assert 1 <= len(stand.diary()) <= 2
    assert sum(run.requests for run in stand.finished()) == 1_000


async def test_a_steady_trickle(stand: Stand) -> None:
    """Requests that leave no quiet between them get a run each max_wait, and every one is covered."""
    stand.connect(policy={"refresh": {"quiet": 30.0, "max_wait": 1.0}})
    asked = 0
    async with stand.running():
        while len(stand.finished()) < 3:
            await asyncio.to_thread(stand.ask)
            asked += 1
            await asyncio.sleep(0.1)
        await until(lambda: stand.lag() == 0)
    runs = stand.finished()
    assert sum(run.requests for run in runs) == asked
    assert 3 <= len(runs) < asked


async def test_one_more(stand: Stand) -> None:
    """What is asked for during a run gets exactly one more, which begins after the first has ended."""
    stand.connect()
    stand.order("sleep 2")
    async with stand.running():
        stand.ask()
        await until(stand.diary)
        later = [stand.ask(reply_to=0) for _ in range(20)]
        await until(lambda: len(stand.finished()) == 2)
        await until(lambda: stand.lag() == 0)
    first, second = stand.finished()
    assert (first.requests, second.requests) == (1, 20)
    assert stand.diary("ended")[0]["at"] < stand.diary()[1]["at"]
    assert {reply.detail["run"] for reply in stand.replies()} == {second.id}
    assert {reply.id for reply in stand.replies()} == {request.id for request in later}


async def test_killed(stand: Stand) -> None:
    """kill -9 of a refresher in the middle of a run: its sync ends with it, another refresher runs it again, never
    both at a time, and who waits is told how that ended."""
    stand.connect()
    stand.order("sleep 100")
    first = stand.process("a_refresher", stand.url, stand.store, str(stand.folder), "first")
    request = stand.ask(reply_to=1)
    await until(stand.diary)
    sync = stand.diary()[0]["pid"]
    async with stand.running(holder="second"):
        first.send_signal(signal.SIGKILL)
        first.wait()
        await until(lambda: is_gone(sync), 5.0)
        await until(lambda: len(stand.finished()) == 2)
        await until(lambda: stand.lag() == 0)
    lost, ok = stand.finished()
    assert (lost.state, ok.state, ok.attempt) == ("lost", "ok", 1)
    assert [entry["run"] for entry in stand.diary("ended")] == [ok.id]
    [reply] = stand.replies()
    assert (reply.id, reply.outcome, reply.detail["run"]) == (request.id, "delivered", ok.id)
    for pipe in (first.stdin, first.stdout):
        pipe.close()  # type: ignore[union-attr]


def is_gone(pid: int) -> bool:
    """It runs no more; whoever has to may not have looked at its end yet."""
    try:
        return ") Z " in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return True


async def test_stopped(stand: Stand) -> None:
    """A refresher that stops cuts its run off and gives the lease back: the next one runs it again, at once."""
    stand.connect()
    stand.order("hang 1")
    async with stand.running(holder="first"):
        stand.ask(reply_to=0)
        await until(stand.diary)
    sync = stand.diary()[0]["pid"]
    assert is_gone(sync)
    assert [run.state for run in stand.finished()] == ["cancelled"]
    async with stand.running(holder="second"):
        await until(stand.replies, leases.TAKEOVER_SECONDS - 1)
    assert [run.state for run in stand.finished()] == ["cancelled", "ok"]


async def test_failing_twice(stand: Stand) -> None:
    """A run that fails is tried again; whoever asked is told only how it ended in the end."""
    stand.connect()
    stand.order("fail 1", "fail 1")
    async with stand.running():
        stand.ask(reply_to=0)
        await until(lambda: stand.lag() == 0 and len(stand.finished()) == 3)
    assert [(run.state, run.attempt) for run in stand.finished()] == [("failed", 1), ("failed", 2), ("ok", 3)]
    assert stand.finished()[0].error == "the far side says no"
    assert [(reply.outcome, reply.attempts) for reply in stand.replies()] == [("delivered", 3)]
    assert stand.letters() == []


async def test_given_up(stand: Stand, tmp_path: Path) -> None:
    """A run that never goes well becomes as few dead letters as ask for all of it, with every attempt; each who asked
    is told; a replay of the letters is a refresh like any other."""
    stand.connect()
    stand.order(*["fail 1"] * (RETRIES.more + 1))
    async with stand.running():
        requests = [stand.ask(objects=(name,), reply_to=0) for name in ("contact", "deal", "contact")]
        await until(lambda: len(stand.replies()) == 3)
        await until(lambda: stand.lag() == 0)
        letters = stand.letters()
        assert [(letter.event_id, letter.object) for letter in letters] == [
            (requests[1].id, "deal"),
            (requests[2].id, "contact"),
        ]
        assert {(letter.connection, letter.operation, letter.verdict) for letter in letters} == {
            ("odoo", "refresh", "exhausted")
        }
        assert [attempt.number for attempt in letters[0].attempts] == [1, 2, 3, 4, 5, 6]
        assert {(reply.outcome, reply.reason, reply.letter) for reply in stand.replies()} == {
            ("dead", "the far side says no", letter.id) for letter in letters
        }

        store = LetterStore(stand.engine)
        catch_up(stand.log, store)
        kept = list(store.in_order(Filter(connection="odoo")))
        pace = Pace(lambda: 0.0, lambda _: None, lag_limit=1_000)
        planned = survey(stand.log, store, kept)
        items = list(Replayer(stand.log, store, claimed(store), who="ada", now=lambda: 0.0, pace=pace).run(planned))
        assert [item.outcome for item in items] == ["replayed", "replayed"]
        await until(lambda: len(stand.finished()) == 7)
        await until(lambda: stand.lag() == 0)
    last = stand.finished()[-1]
    assert (last.state, last.objects, last.requests, last.attempt) == ("ok", ["contact", "deal"], 2, 1)


async def test_rejected(stand: Stand) -> None:
    """What a retry cannot help is not retried."""
    stand.connect()
    stand.order("reject 1")
    async with stand.running():
        stand.ask(reply_to=0)
        await until(stand.replies)
    assert [(letter.verdict, letter.reason) for letter in stand.letters()] == [("rejected", "the far side says no")]
    assert [run.state for run in stand.finished()] == ["dead"]


async def test_a_sync_that_dies(stand: Stand) -> None:
    """A sync that is killed, or ends without a word, is a failure that names what is known, and is tried again."""
    stand.connect()
    stand.order("oom 1", "silent 1")
    async with stand.running():
        stand.ask()
        await until(lambda: len(stand.finished()) == 3)
    killed, silent, ok = stand.finished()
    assert killed.error == "the run was killed by SIGKILL (out of memory?)"
    assert silent.error == "the run ended with exit code 3 and said no result: no space left on the device"
    assert ok.state == "ok"


async def test_a_run_that_never_ends(stand: Stand) -> None:
    """Is cancelled at its time limit, with everything it has started, and tried again."""
    stand.connect(policy={"refresh": {"quiet": 0.1, "time_limit": 8.0}})
    stand.order("hang 1")
    async with stand.running():
        stand.ask()
        await until(lambda: len(stand.finished()) == 2)
    cancelled, ok = stand.finished()
    assert (cancelled.state, ok.state) == ("failed", "ok")
    assert "cancelled after 8 s, its time limit" in cancelled.error
    assert is_gone(stand.diary()[0]["pid"])


async def test_after_own_writes(stand: Stand) -> None:
    """A run waits until the workers are done with the writes that were made before it was asked for."""
    stand.connect(policy={"refresh": {"quiet": 0.1, "max_wait": 60.0}})
    stand.log.ensure_topics([names.DEFAULT.events_spec("odoo")])
    async with stand.running():
        stand.ask(after={0: OwnWrites(first=3, last=5)}, reply_to=0)
        await asyncio.sleep(1.5)
        assert stand.diary() == []
        await commit_writes(stand, Commit(6))
        await until(stand.replies)
    assert stand.replies()[0].detail["pending_writes"] == 0


async def test_writes_that_never_end(stand: Stand) -> None:
    """A run does not wait for them longer than max_wait, and says how many it may not have found."""
    stand.connect(policy={"refresh": {"quiet": 0.1, "max_wait": 1.0}})
    stand.log.ensure_topics([names.DEFAULT.events_spec("odoo")])
    async with stand.running():
        stand.ask(after={0: OwnWrites(first=3, last=5)}, reply_to=0)
        await until(stand.replies)
    assert stand.replies()[0].detail["pending_writes"] == 3
    assert stand.finished()[0].pending_writes == 3


async def commit_writes(stand: Stand, commit: Commit) -> None:
    """What a worker would commit; as a member of its group, for only the owner of a partition may."""
    mine = asyncio.Event()

    class Worker:
        def assigned(self, commits: object) -> None:
            mine.set()

        async def revoked(self, partitions: object) -> dict[Partition, Commit]:
            return {}

        def lost(self, partitions: object) -> None: ...

        def unreadable(self, found: object) -> None: ...

    consumer = stand.log.consumer(names.DEFAULT.worker_group, pattern=names.DEFAULT.events_pattern, rebalance=Worker())
    await consumer.start()
    while not mine.is_set():
        await consumer.poll(0.1)
    await consumer.commit({Partition(names.DEFAULT.events_topic("odoo"), 0): commit})
    await consumer.close()


async def test_what_cannot_run(stand: Stand) -> None:
    """A request for a connection that is not there, and one that cannot be read, are dead letters at once; the others
    go on."""
    stand.connect()
    stand.producer.send(names.DEFAULT.refresh, key=b"odoo", value=b"{").result(10)
    async with stand.running():
        stand.ask("nobody", reply_to=0)
        stand.ask()
        await until(stand.finished)
        await until(lambda: stand.lag() == 0)
    assert {letter.verdict for letter in stand.letters()} == {"malformed", "unknown-connection"}
    assert [reply.outcome for reply in stand.replies()] == ["dead"]
    assert "nobody" in (stand.replies()[0].reason or "")


async def test_paused(stand: Stand) -> None:
    """A paused connection is not refreshed until it is resumed; then it is, once."""
    stand.connect()
    stand.connections.set_state("odoo", "paused")
    async with stand.running():
        stand.ask(reply_to=0)
        await asyncio.sleep(1.5)
        stand.ask()
        assert stand.diary() == []
        stand.connections.set_state("odoo", "active")
        await until(stand.replies)
    assert [run.requests for run in stand.finished()] == [2]


async def test_full(stand: Stand) -> None:
    """A full refresh moves the connection to its newest connector first."""
    stand.connect()
    async with stand.running():
        stand.ask(full=True)
        await until(stand.finished)
    assert stand.upgraded == ["odoo"]
    assert [entry["full"] for entry in stand.diary()] == [True]


async def test_connections_side_by_side(stand: Stand) -> None:
    """One that takes its time holds up nobody else; of more than fit at once the others wait, and go on collecting."""
    for name in ("Slow", "A", "B"):
        stand.connect(name, QUICK)
    stand.order("hang 1")
    async with stand.running(at_once=2):
        stand.ask("slow")
        await until(stand.diary)
        stand.ask("a")
        stand.ask("b")
        await until(lambda: stand.finished("a") and stand.finished("b"))
        assert stand.finished("slow") == []


async def test_done_beyond_an_undone(stand: Stand) -> None:
    """What is answered is not run again by the next refresher, although a request before it is not done."""
    stand.connect("Stuck", {"refresh": {"quiet": 0.1}})
    stand.connect("Odoo", {"refresh": {"quiet": 0.1}})
    stand.connections.set_state("stuck", "paused")
    for slug in ("stuck", "odoo"):
        stand.producer.send(names.DEFAULT.refresh, partition=0, key=slug.encode(), value=b"").result(10)
    async with stand.running(holder="first"):
        await until(stand.finished)
    stand.connections.set_state("stuck", "active")
    async with stand.running(holder="second"):
        await until(lambda: stand.finished("stuck"))
        await until(lambda: stand.lag() == 0)
    assert len(stand.finished("odoo")) == 1


@pytest.mark.kafka
async def test_a_broker_that_restarts(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """In the middle of a run, and while others ask: nothing is forgotten, and everyone is told."""
    if os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
        pytest.skip("the broker that KAFKA_BOOTSTRAP_SERVERS names is not ours to restart")
    from tests.kafka_broker import Broker  # noqa: PLC0415
    from topics.open import open_log  # noqa: PLC0415

    broker: Broker = request.getfixturevalue("kafka")
    log = open_log(f"kafka://{broker.bootstrap}")
    for topic in log.topics("writeback."):
        log.delete_topic(topic)
    stand = Stand(log, tmp_path)
    stand.connect()
    stand.order("sleep 3")
    async with stand.running():
        asked = [stand.ask(reply_to=0)]
        await until(stand.diary)
        restarting = asyncio.create_task(asyncio.to_thread(broker.restart))
        await restarting
        asked.append(await asyncio.to_thread(stand.ask, reply_to=0))
        await until(lambda: {reply.id for reply in stand.replies()} >= {one.id for one in asked}, 90)
        await until(lambda: stand.lag() == 0)
    assert {reply.outcome for reply in stand.replies()} == {"delivered"}
    assert stand.letters() == []
    stand.close()
    log.close()


async def test_answered_requests_leave_the_log_when_they_are_old(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of eight days ago is answered and then deleted; one of today stays."""
    monkeypatch.setattr(deletion, "LOOK_SECONDS", 0.05)
    stand.connect()
    a_day = 86_400.0
    request = encode(RefreshRequest(connection="odoo"))
    places = []
    for age in (8 * a_day, 0.0):
        at = int((time.time() - age) * 1_000)
        sent = stand.producer.send(names.DEFAULT.refresh, **request._asdict(), timestamp_ms=at)
        places.append(sent.result(30.0))
    place = places[0].partition
    async with stand.running(keep=7 * a_day):
        await until(lambda: stand.log.start_offsets([place])[place] > 0)
    assert places[1].partition == place
    assert stand.log.start_offsets([place]) == {place: places[1].offset}
    assert stand.finished()
