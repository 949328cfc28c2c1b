"""The worker's numbers as Prometheus has them, read when somebody asks; counting is ``worker/engine/counters.py``'s.

Labels are ``connection``, ``partition``, ``operation``, ``outcome`` and ``state``: no ids, keys, URLs or error texts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, get_args

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from topics.event.result import ConnectionState
from worker.engine.counters import Histogram
from worker.engine.destination.breaker import State as BreakerState
from worker.engine.dispatch.dispatch import Dispatcher
from worker.engine.intake.intake import ConnectionIntake
from worker.engine.lane.assignment import Assignment
from worker.observe.observer import Observer

STATES: Final[tuple[ConnectionState, ...]] = get_args(ConnectionState)
BREAKER_STATES: Final[tuple[BreakerState, ...]] = get_args(BreakerState)
PER_EVENT = ("connection", "operation", "outcome")
PER_CONNECTION = ("connection",)
PER_PARTITION = ("connection", "partition")


async def collect(view: Observer) -> list[Metric]:
    """Every family; read on the worker's loop, where nothing changes meanwhile."""
    await view.refresh_ends()
    view.look()
    intakes = [intake for intake in view.router.intakes.values() if intake.assignments]
    return [*_counted(view), *_held(intakes, view), *_partitions(intakes, view), *_destinations(intakes, view)]


def _counted(view: Observer) -> Iterator[Metric]:
    yield _counter(
        "events", "Events that ended, by how: delivered, dead or superseded", PER_EVENT, view.ledger.counts.items()
    )
    yield _counter(
        "attempts", "Events sent or asked about, by what came of it", PER_EVENT, view.counters.attempts.items()
    )
    opened = (((slug,), count) for slug, count in view.states.opened.items())
    yield _counter("breaker_opened", "How often the breaker opened", PER_CONNECTION, opened)
    calls = HistogramMetricFamily(
        "writeback_delivery_seconds", "How long calls to the destination took", labels=PER_CONNECTION
    )
    for slug, histogram in view.counters.calls.items():
        _observe(calls, (slug,), histogram)
    yield calls
    commits = HistogramMetricFamily("writeback_commit_seconds", "How long commits of offsets took")
    _observe(commits, (), view.committer.seconds)
    yield commits


def _held(intakes: list[ConnectionIntake], view: Observer) -> Iterator[Metric]:
    """What each connection has in memory."""
    lanes = [(intake.slug, intake.dispatcher) for intake in intakes if intake.dispatcher]
    yield _per_connection("calls_in_flight", "Calls under way", ((slug, dispatcher.out) for slug, dispatcher in lanes))
    yield _per_connection(
        "in_flight_records",
        "Events whose call is under way",
        ((intake.slug, _sum(intake, "out")) for intake in intakes),
    )
    yield _per_connection(
        "buffered_records",
        "Events in memory: under way, waiting and retrying",
        ((intake.slug, intake.records) for intake in intakes),
    )
    yield _per_connection("buffered_bytes", "Their bytes", ((intake.slug, intake.bytes) for intake in intakes))
    yield _per_connection(
        "retrying_records",
        "Events that wait for their moment: a retry, a pace, a look at the vendor's",
        ((slug, dispatcher.lane.waiting) for slug, dispatcher in lanes),
    )
    yield _per_connection(
        "parked_keys",
        "Keys whose events follow a dead letter into the dead letters, until it is replayed",
        ((slug, dispatcher.park.keys) for slug, dispatcher in lanes if dispatcher.park is not None),
    )
    yield _per_connection(
        "oldest_waiting_seconds",
        "Age of the oldest event that was read and is not done",
        ((intake.slug, _oldest(intake, view)) for intake in intakes),
    )


def _partitions(intakes: list[ConnectionIntake], view: Observer) -> Iterator[Metric]:
    owned = [(intake.slug, assignment) for intake in intakes for assignment in intake.assignments.values()]
    yield _per_partition(
        "lag_records",
        "Records between what is done and the end of the partition",
        (
            (slug, one, max(0, view.ends[one.partition] - one.progress.watermark))
            for slug, one in owned
            if one.partition in view.ends
        ),
    )
    yield _per_partition(
        "commit_metadata_bytes",
        "Bytes that the last commit needed to say what is done beyond it; 4,096 at the most",
        ((slug, one, view.committer.metadata(one.partition)) for slug, one in owned),
    )
    yield _per_partition(
        "partition_held",
        "1 while nothing goes out until an operator has decided; the state of the connection says why",
        ((slug, one, one.hold is not None) for slug, one in owned),
    )
    yield _per_partition(
        "lane_blocked",
        "1 while one event holds up the commit of nearly all others; the log event lane.blocked names it",
        ((slug, one, one.partition in view.head_of_line.blocking) for slug, one in owned),
    )


def _destinations(intakes: list[ConnectionIntake], view: Observer) -> Iterator[Metric]:
    lanes = [(intake.slug, intake.dispatcher) for intake in intakes if intake.dispatcher]
    known = [
        (intake.slug, view.states.current[intake.slug].state)
        for intake in intakes
        if intake.slug in view.states.current
    ]
    yield _one_hot("connection_state", "How the connection is: 1 for the state it has", known, STATES)
    yield _per_connection(
        "connection_wait_seconds",
        "How long nothing will go out, where that is known: until a quota allows it, or the next try",
        (
            (intake.slug, max(0.0, standing.until - view.clock.now()))
            for intake in intakes
            if (standing := view.states.current.get(intake.slug)) is not None and standing.until is not None
        ),
    )
    breakers = [(slug, dispatcher.destination.breaker.state) for slug, dispatcher in lanes]
    yield _one_hot("breaker_state", "The breaker: 1 for the state it has", breakers, BREAKER_STATES)
    yield _per_connection(
        "throttle_calls_per_second",
        "Calls a second that the throttle lets through now; no sample: unlimited",
        ((slug, rate) for slug, dispatcher in lanes if (rate := dispatcher.destination.throttle.rate) is not None),
    )
    yield _per_connection(
        "throttle_concurrency", "Calls at once that the throttle allows now", map(_concurrency, lanes)
    )


def _concurrency(lane: tuple[str, Dispatcher]) -> tuple[str, float]:
    return lane[0], lane[1].destination.throttle.concurrency


def _sum(intake: ConnectionIntake, what: str) -> int:
    return sum(getattr(assignment, what) for assignment in intake.assignments.values())


def _oldest(intake: ConnectionIntake, view: Observer) -> float:
    since = [view.head_of_line.waiting_since(assignment.partition) for assignment in intake.assignments.values()]
    return max((view.clock.now() - moment for moment in since if moment), default=0.0)


def _counter(
    name: str, about: str, labels: tuple[str, ...], counts: Iterable[tuple[tuple[str, ...], int]]
) -> CounterMetricFamily:
    family = CounterMetricFamily(f"writeback_{name}", about, labels=labels)
    for values, count in counts:
        family.add_metric(values, count)
    return family


def _per_connection(name: str, about: str, values: Iterable[tuple[str, float]]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"writeback_{name}", about, labels=PER_CONNECTION)
    for slug, value in values:
        family.add_metric((slug,), value)
    return family


def _per_partition(name: str, about: str, values: Iterable[tuple[str, Assignment, float]]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"writeback_{name}", about, labels=PER_PARTITION)
    for slug, assignment, value in values:
        family.add_metric((slug, str(assignment.partition.number)), value)
    return family


def _one_hot(name: str, about: str, actual: Iterable[tuple[str, str]], possible: tuple[str, ...]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"writeback_{name}", about, labels=("connection", "state"))
    for slug, state in actual:
        for one in possible:
            family.add_metric((slug, one), one == state)
    return family


def _observe(family: HistogramMetricFamily, labels: tuple[str, ...], histogram: Histogram) -> None:
    family.add_metric(labels, histogram.cumulative(), histogram.total)
