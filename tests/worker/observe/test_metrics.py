"""What a worker shows of itself: numbers, health, the states of its connections."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from functools import partial

import pytest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

from connectors.contract import Down, Rejected, Retry
from tests.tools.one_process_profile import Bench
from tests.worker.samples import event
from topics import names
from topics.errors import LogUnavailable, SettingsError
from topics.event.result import unpack_states
from worker.clock import FakeClock
from worker.engine.counters import Histogram
from worker.observe.endpoints import Answer, MetricsServer, wire
from worker.observe.metrics import collect
from worker.observe.observer import CachedProbe
from worker.worker import Worker


async def samples(worker: Worker) -> dict[str, float]:
    """By name and labels, as they would be scraped."""
    metrics_server = MetricsServer(partial(collect, worker.observer), worker.unready)
    answer = await metrics_server.answer(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    found = {}
    for family in text_string_to_metric_families(answer.body.decode()):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}"] = sample.value
    return found


async def test_events_attempts_and_calls_are_counted(bench: Bench) -> None:
    """Delivered, dead and retried events are told apart, per connection and operation."""
    saas = bench.connect()
    tried = []

    def answer(of: object) -> object:
        tried.append(of)
        return Rejected("no") if "e1" in str(of) else Retry("later") if len(tried) == 1 else saas_answer(of)

    saas_answer: Callable[[object], object] = saas.answer  # type: ignore[assignment]
    saas.answer = answer  # type: ignore[assignment]
    async with bench.working() as worker:
        bench.emit(*(event(number) for number in range(5)))
        await bench.eventually(lambda: bench.committed() == 5)
        found = await samples(worker)

    labels = "connection=acme,operation=upsert,outcome"
    assert found[f"writeback_events_total{{{labels}=delivered}}"] == 4
    assert found[f"writeback_events_total{{{labels}=dead}}"] == 1
    assert found[f"writeback_attempts_total{{{labels}=delivered}}"] == 4
    assert found[f"writeback_attempts_total{{{labels}=rejected}}"] == 1
    assert found[f"writeback_attempts_total{{{labels}=retry}}"] == 1
    assert found["writeback_delivery_seconds_count{connection=acme}"] == len(saas.batches)
    assert found["writeback_commit_seconds_count{}"] >= 1
    assert found["writeback_lag_records{connection=acme,partition=0}"] == 0
    assert found["writeback_buffered_records{connection=acme}"] == 0
    assert found["writeback_connection_state{connection=acme,state=active}"] == 1
    assert found["writeback_breaker_state{connection=acme,state=closed}"] == 1


async def test_what_is_under_way_and_waits_is_shown(bench: Bench) -> None:
    """Calls that hang are in flight, what is behind them is buffered, and nothing of it is done."""
    saas = bench.connect()
    saas.open.clear()
    async with bench.working() as worker:
        bench.emit(*(event(number, "one") for number in range(3)))
        await bench.eventually(lambda: saas.batches)
        await bench.eventually(lambda: worker._router.intakes["acme"].records == 3)
        found = await samples(worker)
        saas.open.set()

    assert found["writeback_calls_in_flight{connection=acme}"] == 1
    assert found["writeback_in_flight_records{connection=acme}"] == 1
    assert found["writeback_buffered_records{connection=acme}"] == 3
    assert found["writeback_lag_records{connection=acme,partition=0}"] == 3
    assert found["writeback_oldest_waiting_seconds{connection=acme}"] > 0


async def test_every_metric_is_ours_and_says_nothing_private(bench: Bench) -> None:
    """One prefix; labels only from a fixed list; no event's id or key anywhere."""
    bench.connect()
    async with bench.working() as worker:
        bench.emit(event(0, "private-key"))
        await bench.eventually(lambda: bench.committed() == 1)
        families = await collect(worker.observer)

    labels = {label for family in families for sample in family.samples for label in sample.labels}
    assert [family.name for family in families if not re.fullmatch(r"writeback_[a-z_]+", family.name)] == []
    assert labels <= {"connection", "partition", "operation", "outcome", "state", "le"}
    assert "private-key" not in str(families)
    assert [family.name for family in families if not family.documentation] == []


async def test_states_are_told_on_the_ledger(bench: Bench) -> None:
    """Active, down with its reason, active again; readers of outcomes see none of it."""
    saas = bench.connect()
    async with bench.working() as worker:
        bench.emit(event(0))
        await bench.eventually(lambda: "acme" in worker.observer.states.current)
        saas.answer, saas.state = lambda _: Down("HTTP 401"), Down("HTTP 401")
        bench.emit(event(1))
        await bench.eventually(lambda: worker.observer.states.current["acme"].state == "down")
        saas.answer, saas.state = type(saas)().answer, type(saas)().state
        await bench.eventually(lambda: worker.observer.states.current["acme"].state == "active")
        await bench.eventually(lambda: bench.committed() == 2)
    told = [change for record in bench.records(names.DEFAULT.results) for change in unpack_states(record.value)]

    assert [change.connection for change in told] == ["acme"] * len(told)
    assert [change.state for change in told if change.state != "half-open"] == ["active", "down", "active"]
    assert {change.reason for change in told if change.state == "down"} == {"HTTP 401"}
    assert worker.observer.states.opened == {"acme": 1}
    assert [result.id for result in bench.results()] == ["e0", "e1"]


async def test_a_paused_connection_is_shown_as_such(bench: Bench) -> None:
    """An operator's word is a state, with the operator's reason; so is a connection that does not exist."""
    bench.connect()
    bench.connections.set_state("acme", "paused", "lunch")
    bench.log.ensure_topics([names.DEFAULT.events_spec("ghost")])
    async with bench.working() as worker:
        bench.emit(event(0))
        bench.emit(event(0, connection="ghost"), slug="ghost")
        await bench.eventually(lambda: len(worker.observer.states.current) == 2)
        current = worker.observer.states.current

        assert (current["acme"].state, current["acme"].reason) == ("paused", "lunch")
        assert current["ghost"].state == "held"


async def test_ready_only_while_it_can_work(bench: Bench) -> None:
    """Before it joins and after it stops a worker says why it is not ready."""
    worker = bench.worker()
    stop = asyncio.Event()
    before = await worker.unready()
    running = bench.start(worker, stop)
    await bench.eventually(lambda: worker._consumer.joined)
    during = await worker.unready()
    stop.set()
    await running

    assert "has not joined the group" in before
    assert during == ""
    assert await worker.unready() == "it is stopping"


# -- the server -------------------------------------------------------------------------------------------------------


async def nothing() -> list[Metric]:
    return []


def saying(why: str) -> Callable[[], Awaitable[str]]:
    async def say() -> str:
        return why

    return say


@pytest.mark.parametrize(
    ("request_line", "status", "body"),
    [
        ("GET /healthz HTTP/1.1", 200, "ok\n"),
        ("GET /healthz?verbose HTTP/1.1", 200, "ok\n"),
        ("GET /readyz HTTP/1.0", 503, "the log is away\n"),
        ("POST /metrics HTTP/1.1", 405, "only GET\n"),
        ("GET /secrets HTTP/1.1", 404, "there are /metrics, /states, /healthz and /readyz\n"),
        ("hello", 400, "this speaks HTTP\n"),
        ("", 400, "this speaks HTTP\n"),
    ],
)
async def test_answers(request_line: str, status: int, body: str) -> None:
    """Each path has its answer, and everything else a polite no."""
    metrics_server = MetricsServer(nothing, saying("the log is away"))

    assert await metrics_server.answer(f"{request_line}\r\n\r\n".encode()) == Answer(status, body.encode())


async def test_the_format_is_as_asked_for() -> None:
    """Prometheus asks for OpenMetrics; a person with curl gets text."""
    metrics_server = MetricsServer(nothing, saying(""))
    openmetrics = await metrics_server.answer(
        b"GET /metrics HTTP/1.1\r\nAccept: application/openmetrics-text; version=1.0.0\r\n\r\n"
    )
    text = await metrics_server.answer(b"GET /metrics HTTP/1.1\r\n\r\n")

    assert openmetrics.content_type.startswith("application/openmetrics-text")
    assert openmetrics.body.endswith(b"# EOF\n")
    assert text.content_type.startswith("text/plain")


async def test_it_serves_and_survives_nonsense() -> None:
    """A client that says too much, or nothing and goes, does not keep the next one from its answer."""
    metrics_server = MetricsServer(nothing, saying(""))
    port = await metrics_server.start("127.0.0.1", 0)
    for nonsense in (b"x" * 40_000, b"", b"GET /healthz"):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(nonsense)
        writer.close()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /readyz HTTP/1.1\r\n\r\n")
    answer = await reader.read()
    writer.close()
    metrics_server.stop()

    assert answer == wire(Answer(200, b"ok\n"))


async def test_a_port_that_is_taken_is_a_wrong_setting() -> None:
    """It is told by the variable's name."""
    first, second = MetricsServer(nothing, saying("")), MetricsServer(nothing, saying(""))
    port = await first.start("127.0.0.1", 0)
    with pytest.raises(SettingsError, match=f"WRITEBACK_METRICS_PORT.*{port}"):
        await second.start("127.0.0.1", port)
    first.stop()


# -- what is asked of the log -----------------------------------------------------------------------------------------


async def test_the_log_is_not_asked_more_often_than_it_should_be() -> None:
    """An answer serves for its time; a failure is asked again at once."""
    clock, asked = FakeClock(), []

    def ask() -> int:
        asked.append(clock.monotonic())
        if len(asked) == 2:
            raise LogUnavailable("away")
        return len(asked)

    probe = CachedProbe(ask, clock, every=10.0)
    answers = [await probe.answer(), await probe.answer()]
    clock.advance(10.0)
    with pytest.raises(LogUnavailable):
        await probe.answer()
    answers.append(await probe.answer())

    assert answers == [1, 1, 3]
    assert asked == [0.0, 10.0, 10.0]


def test_a_histogram_is_cumulative() -> None:
    """Each bucket counts what is at or below its bound."""
    histogram = Histogram((0.1, 1.0))
    for seconds in (0.05, 0.1, 0.5, 7.0):
        histogram.observe(seconds)

    assert histogram.cumulative() == [("0.1", 2.0), ("1.0", 3.0), ("+Inf", 4.0)]
    assert histogram.total == pytest.approx(7.65)
