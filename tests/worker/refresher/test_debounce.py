from __future__ import annotations

import time
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.refresher.debounce import DEFAULT, Batch, Debouncer, Scope, Timing

CRM = "crm"
EVERYTHING = Scope()
RETRY_SECONDS = 7.0
"""How long a connection whose run failed waits for the next: a request meanwhile waits with it."""


def asked(*moments: float, timing: Timing = DEFAULT) -> Debouncer[float]:
    debouncer: Debouncer[float] = Debouncer()
    debouncer.set_timing(CRM, timing)
    for moment in moments:
        debouncer.ask(CRM, moment, EVERYTHING, moment)
    return debouncer


def test_trailing_edge() -> None:
    """A run starts five seconds after the last request."""
    debouncer = asked(0.0, 3.0)
    assert debouncer.next_deadline() == 8.0
    assert debouncer.due(7.9) is None
    assert debouncer.due(8.0) == CRM


def test_longest_wait() -> None:
    """Requests that never stop coming do not keep a run from starting a minute after the first."""
    debouncer = asked(*map(float, range(60)))
    assert debouncer.next_deadline() == 60.0


def test_trickle() -> None:
    """A request a second for an hour: a run every max_wait, each covering all that came before it."""
    debouncer: Debouncer[int] = Debouncer()
    runs: list[tuple[float, list[int]]] = []
    for second in range(3_600):
        debouncer.ask(CRM, second, EVERYTHING, float(second))
        if debouncer.due(float(second)):
            batch = debouncer.start(CRM)
            runs.append((float(second), batch.requests))
            debouncer.ended(batch)
    assert [moment for moment, _ in runs] == [float(number * 61 + 60) for number in range(59)]
    assert [request for _, requests in runs for request in requests] == list(range(int(runs[-1][0]) + 1))


def test_union() -> None:
    """One run loads what all of its requests ask for."""
    debouncer: Debouncer[int] = Debouncer()
    debouncer.ask(CRM, 1, Scope(frozenset({"contact"})), 0.0)
    debouncer.ask(CRM, 2, Scope(frozenset({"deal"}), full=True), 1.0)
    assert debouncer.start(CRM).scope == Scope(frozenset({"contact", "deal"}), full=True)


def test_everything_absorbs() -> None:
    """Whoever asks for everything gets it, whatever the others ask for."""
    debouncer: Debouncer[int] = Debouncer()
    debouncer.ask(CRM, 1, Scope(frozenset({"contact"})), 0.0)
    debouncer.ask(CRM, 2, EVERYTHING, 1.0)
    debouncer.ask(CRM, 3, Scope(frozenset({"deal"})), 2.0)
    assert debouncer.start(CRM).scope == EVERYTHING


def test_one_more() -> None:
    """Requests that come during a run cause exactly one more, which does not start before the first has ended."""
    debouncer = asked(0.0)
    first = debouncer.start(CRM)
    for moment in (6.0, 7.0, 8.0):
        debouncer.ask(CRM, moment, EVERYTHING, moment)
    assert debouncer.due(100.0) is None
    assert debouncer.ended(first)
    assert debouncer.due(100.0) == CRM
    second = debouncer.start(CRM)
    assert second.requests == [6.0, 7.0, 8.0]
    assert debouncer.ended(second)
    assert debouncer.next_deadline() is None


def test_failed() -> None:
    """What a failed run covered is covered by a later one, together with what came since, and not before it may."""
    debouncer = asked(0.0)
    failed = debouncer.start(CRM)
    debouncer.ask(CRM, 6.0, EVERYTHING, 6.0)
    assert debouncer.ended(failed, again_at=50.0)
    assert debouncer.next_deadline() == 50.0
    assert debouncer.start(CRM).requests == [0.0, 6.0]


def test_hold() -> None:
    """A connection that is held is not due, goes on collecting, and does not fill the memory by being held again."""
    debouncer = asked(0.0)
    for turn in range(1_000):
        debouncer.hold(CRM, 10.0 + turn)
        assert debouncer.next_deadline() == 10.0 + turn
    assert len(debouncer._queue) < 10
    debouncer.hold(CRM, 6.0)
    assert debouncer.due(6.0) == CRM


def test_age() -> None:
    """What has lain in the log has waited already, and still leaves time for what lies behind it."""
    debouncer: Debouncer[int] = Debouncer()
    debouncer.ask(CRM, 1, EVERYTHING, 100.0, age=30.0)
    for moment in range(101, 130):
        debouncer.ask(CRM, 2, EVERYTHING, float(moment))
    assert debouncer.next_deadline() == 130.0
    debouncer.ask("old", 1, EVERYTHING, 100.0, age=86_400.0)
    assert debouncer.due(104.9) is None
    assert debouncer.due(105.0) == "old"


def test_timing_per_connection() -> None:
    """Each connection has its own times; a change holds for what waits already."""
    debouncer = asked(0.0, timing=Timing(quiet=30.0))
    debouncer.ask("shop", 0.0, EVERYTHING, 0.0)
    assert debouncer.due(5.0) == "shop"
    debouncer.start("shop")
    assert debouncer.next_deadline() == 30.0
    debouncer.set_timing(CRM, Timing(quiet=1.0))
    assert debouncer.next_deadline() == 1.0


def test_another_refresher() -> None:
    """What was taken away is neither due nor running, and the end of its run changes nothing."""
    debouncer = asked(0.0)
    taken = debouncer.start(CRM)
    debouncer.ask(CRM, 1.0, EVERYTHING, 1.0)
    assert list(debouncer.requests()) == [(CRM, 0.0), (CRM, 1.0)]
    assert debouncer.withdraw(CRM) == [0.0, 1.0]
    assert debouncer.next_deadline() is None
    assert list(debouncer.requests()) == []
    assert len(debouncer) == 0
    debouncer.ask(CRM, 2.0, EVERYTHING, 2.0)
    assert not debouncer.ended(taken)
    assert debouncer.start(CRM).requests == [2.0]


def test_cost() -> None:
    """100,000 requests over 10,000 connections take less than two seconds of CPU."""
    began = time.process_time()
    debouncer: Debouncer[int] = Debouncer()
    names = [f"connection-{number}" for number in range(10_000)]
    started = 0
    for number in range(100_000):
        now = number / 10_000
        debouncer.ask(names[number % 10_000], number, EVERYTHING, now)
        while connection := debouncer.due(now):
            debouncer.ended(debouncer.start(connection))
            started += 1
    while connection := debouncer.due(100.0):
        debouncer.ended(debouncer.start(connection))
        started += 1
    assert started == 10_000
    assert time.process_time() - began < 2.0


# -- under any timing, crash and rebalance ----------------------------------------------------------------------------


@dataclass
class Cluster:
    """A log of requests, and whoever owns it now: after a crash or a rebalance a new owner reads what is undone."""

    timing: Timing
    requests: list[tuple[float, Scope]] = field(default_factory=list)
    done: set[int] = field(default_factory=set)
    runs: list[tuple[float, tuple[int, ...]]] = field(default_factory=list)
    now: float = 0.0
    running_until: float | None = None
    batch: Batch[int] | None = None
    crashed_at: float = float("-inf")
    failed_at: float = float("-inf")
    debouncer: Debouncer[int] = field(default_factory=Debouncer)

    def __post_init__(self) -> None:
        self.debouncer.set_timing(CRM, self.timing)

    def ask(self, scope: Scope) -> None:
        self.requests.append((self.now, scope))
        self.debouncer.set_timing(CRM, self.timing)
        self.debouncer.ask(CRM, len(self.requests) - 1, scope, self.now)
        self._start()

    def crash(self) -> None:
        """Another refresher owns the log from now on; what had not ended is undone."""
        self.running_until = None
        self.crashed_at = self.now
        self.debouncer = Debouncer()
        self.debouncer.set_timing(CRM, self.timing)
        for offset, (moment, scope) in enumerate(self.requests):
            if offset not in self.done:
                self.debouncer.ask(CRM, offset, scope, self.now, age=self.now - moment)
        self._start()

    def advance(self, seconds: float, run_seconds: float, *, fails: bool = False) -> None:
        """Everything that happens by itself in this time; runs take ``run_seconds``."""
        until = self.now + seconds
        while True:
            moments = [self.running_until, self.debouncer.next_deadline()]
            moment = min((one for one in moments if one is not None), default=until)
            if moment > until:
                break
            self.now = max(self.now, moment)
            if self.running_until is not None and self.running_until <= self.now:
                self._end(fails=fails)
            if not self._start(run_seconds) and self.running_until is None and moment >= until:
                break
        self.now = until

    def _start(self, run_seconds: float = 10.0) -> bool:
        if self.debouncer.due(self.now) != CRM:
            return False
        batch = self.batch = self.debouncer.start(CRM)
        assert batch.requests, "a run for nobody"
        for offset in batch.requests:
            moment, scope = self.requests[offset]
            assert moment <= self.now
            assert batch.scope | scope == batch.scope, "a run that does not load what was asked for"
        self.runs.append((self.now, tuple(batch.requests)))
        self.running_until = self.now + run_seconds
        return True

    def _end(self, *, fails: bool) -> None:
        assert self.batch is not None
        self.running_until = None
        if fails:
            self.failed_at = self.now
            assert self.debouncer.ended(self.batch, again_at=self.now + RETRY_SECONDS)
        else:
            self.done.update(self.batch.requests)
            assert self.debouncer.ended(self.batch)


scopes = st.builds(
    Scope, st.none() | st.frozensets(st.sampled_from(["contact", "deal", "ticket"]), min_size=1), st.booleans()
)
seconds = st.sampled_from([0.0, 0.01, 0.5, 1.0, 4.9, 5.0, 5.1, 20.0, 61.0])
steps = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), scopes),
        st.tuples(st.just("advance"), seconds, seconds, st.booleans()),
        st.tuples(st.just("crash")),
    ),
    max_size=60,
)
timings = st.builds(Timing, st.sampled_from([0.0, 0.5, 5.0, 90.0]), st.sampled_from([0.0, 5.0, 60.0]))


@pytest.mark.parametrize("age", [-40 * 365 * 86_400.0, -1.0, 40 * 365 * 86_400.0])
def test_a_clock_that_jumps(age: float) -> None:
    """How old a request is the time of day says, and may be wrong by decades: it waits for the quiet, and no longer."""
    debouncer: Debouncer[str] = Debouncer()
    debouncer.ask(CRM, "a", EVERYTHING, 100.0, age=age)
    assert debouncer.next_deadline() == 100.0 + DEFAULT.quiet
    debouncer.ask(CRM, "b", EVERYTHING, 104.0)
    assert debouncer.due(104.0 + DEFAULT.quiet) == CRM


@settings(max_examples=400, deadline=None)
@given(timings, steps)
def test_never_forgets(timing: Timing, steps: list[tuple[object, ...]]) -> None:
    """Whatever happens and when: every request is covered by a run that started after it and succeeded, and no run is
    for nobody or for less than was asked."""
    cluster = Cluster(timing)
    play(cluster, steps)
    cluster.advance(10_000.0, 1.0)
    assert cluster.done == set(range(len(cluster.requests)))
    assert len(cluster.debouncer) == 0


@settings(max_examples=400, deadline=None)
@given(timings, steps)
def test_never_starves(timing: Timing, steps: list[tuple[object, ...]]) -> None:
    """With nothing in the way (no run, failure or crash in between), the longest anybody waits is max_wait."""
    cluster = Cluster(timing)
    for step in steps:
        play(cluster, [step])
        if cluster.running_until is not None:
            continue
        again_at = cluster.failed_at + RETRY_SECONDS
        busy_until = max([cluster.crashed_at, again_at, *(moment for moment, _ in cluster.runs[-1:])])
        for offset, (moment, _) in enumerate(cluster.requests):
            if offset not in cluster.done and moment > busy_until:
                assert cluster.now - moment <= timing.max_wait


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(0.0, 4.99), min_size=1, max_size=12), st.integers(0, 11))
def test_once_for_one_burst(gaps: list[float], crash_at: int) -> None:
    """A burst is one run, whatever lies between its requests, and also when the owner crashes in the middle of it."""
    cluster = Cluster(DEFAULT)
    for number, gap in enumerate(gaps):
        cluster.ask(EVERYTHING)
        if number == crash_at:
            cluster.crash()
        cluster.advance(gap, 10.0)
    cluster.advance(1_000.0, 10.0)
    assert [len(requests) for _, requests in cluster.runs] == [len(gaps)]


def play(cluster: Cluster, steps: list[tuple[object, ...]]) -> None:
    for step in steps:
        match step:
            case ("ask", Scope() as scope):
                cluster.ask(scope)
            case ("advance", float() as length, float() as run_seconds, bool() as fails):
                cluster.advance(length, run_seconds, fails=fails)
            case ("crash",):
                cluster.crash()
