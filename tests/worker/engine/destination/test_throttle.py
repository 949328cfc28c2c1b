"""Never faster than the quota, never slower because of us."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.contract import READ_SHARE, Limits, Quota
from connectors.engine.runner.pace import Pace
from worker.engine.destination.throttle import DAY, HEADROOM, Throttle


def saturate(throttle: Throttle, until: float, now: float = 0.0) -> list[float]:
    """The moments of the calls of a sender that always has something to send."""
    calls: list[float] = []
    while True:
        wait = throttle.wait(now)
        now += wait
        if now > until:
            return calls
        if throttle.wait(now) == 0:
            throttle.spend(now)
            calls.append(now)


def busiest(calls: list[float], window: float) -> int:
    """Most calls in any half-open window of this length."""
    return max((bisect_left(calls, start + window - 1e-6) - place for place, start in enumerate(calls)), default=0)


rates = st.one_of(st.integers(1, 500).map(float), st.floats(0.2, 50))


@settings(deadline=None)
@given(rates, st.sampled_from([0.5, 1.0, 10.0, 60.0]))
def test_a_saturated_quota_is_kept_and_used(rate: float, per_seconds: float) -> None:
    """In no sliding window more than rate x window + burst, nor than the vendor allows; at least 90 % of it is used."""
    throttle = Throttle(Limits(rate=rate, per_seconds=per_seconds))
    calls = saturate(throttle, until=min(20 * per_seconds, 2_000 * per_seconds / rate))
    burst = max(1.0, rate * (1 - HEADROOM))

    for window in (per_seconds / 10, per_seconds, 3 * per_seconds):
        allowed = rate * HEADROOM / per_seconds * window + burst
        assert busiest(calls, window) <= allowed + 1e-6
    assert busiest(calls, per_seconds) <= math.ceil(rate)
    if len(calls) > 20:
        assert len(calls) >= 0.9 * rate * calls[-1] / per_seconds


@settings(deadline=None)
@given(st.lists(st.floats(0, 3), min_size=1, max_size=60), st.integers(1, 40))
def test_pauses_save_up_no_burst(pauses: list[float], rate: int) -> None:
    """After any silence the window behind it sees no more than the quota either."""
    throttle = Throttle(Limits(rate=float(rate)))
    now, calls = 0.0, []
    for pause in pauses:
        now += pause
        for _ in range(3):
            now += throttle.wait(now)
            throttle.spend(now)
            calls.append(now)

    assert busiest(calls, 1.0) <= rate


def test_without_a_rate_nothing_waits() -> None:
    """An unlimited destination is limited by its calls at once only."""
    throttle = Throttle(Limits(rate=None, concurrency=7))

    assert [throttle.wait(0.0) for _ in range(1_000) if not throttle.spend(0.0)] == [0.0] * 1_000  # type: ignore[func-returns-value]
    assert throttle.concurrency == 7
    assert throttle.rate is None


def test_retry_after_is_kept_to_the_second() -> None:
    """The vendor's word wins over the bucket."""
    throttle = Throttle(Limits(rate=100))

    throttle.throttled(10.0, after=30.0)

    assert throttle.wait(10.0) == 30.0
    assert throttle.wait(39.0) == 1.0
    assert throttle.wait(40.0) < 0.02


def test_the_longest_word_counts() -> None:
    """Answers that come back later with a shorter wait do not shorten it."""
    throttle = Throttle(Limits())

    throttle.throttled(0.0, after=30.0)
    throttle.throttled(1.0, after=2.0)

    assert throttle.wait(1.0) == 29.0


def test_one_decrease_a_burst() -> None:
    """Sixteen calls that were on their way already are one piece of news."""
    throttle = Throttle(Limits(rate=100, concurrency=16))

    for _ in range(16):
        throttle.throttled(0.0, after=1.0)

    assert throttle.concurrency == pytest.approx(16 * 0.7)
    assert throttle.rate == pytest.approx(97 * 0.7)


def test_decrease_is_multiplicative_and_has_a_floor() -> None:
    """A vendor that keeps saying no is still asked, one call at a time."""
    throttle = Throttle(Limits(rate=10, concurrency=16))
    rates = []
    for burst in range(40):
        throttle.throttled(burst * 10.0, after=1.0)
        rates.append(throttle.rate or 0.0)

    assert rates[1] == pytest.approx(rates[0] * 0.7)
    assert throttle.concurrency == 1.0
    assert throttle.rate == 0.05


def test_a_throttled_daily_quota_is_not_raised() -> None:
    """Fewer than one call in 20 s are allowed: the floor is not above the quota."""
    throttle = Throttle(Limits(rate=100, per_seconds=86_400))
    top = throttle.rate
    assert top is not None

    throttle.throttled(0.0, after=1.0)

    assert throttle.rate is not None
    assert throttle.rate <= top


def test_increase_is_additive_and_ends_at_the_quota() -> None:
    """A tenth of the way back per clean second, never beyond."""
    throttle = Throttle(Limits(rate=100, concurrency=10))
    for burst in range(10):
        throttle.throttled(burst * 2.0, after=1.0)
    low = throttle.rate
    assert low is not None
    now = 20.0
    rates = []
    for _ in range(60):
        now += 0.5
        throttle.answered(now)
        rates.append(throttle.rate or 0.0)

    steps = {round(later - earlier, 6) for earlier, later in pairwise(rates)}
    assert 9.7 in steps
    assert rates[-1] == pytest.approx(97)
    assert throttle.concurrency == 10
    assert sorted(rates) == rates
    assert rates[3] - low == pytest.approx(2 * 9.7)  # two clean seconds


def test_rate_headers_are_heeded() -> None:
    """What is left must cover what is out; else wait for the reset."""
    throttle = Throttle(Limits())

    throttle.observe(Quota(remaining=5, reset_after=8.0), 0.0, out=4)
    assert throttle.wait(0.0) == 0.0
    throttle.observe(Quota(remaining=4, reset_after=8.0), 0.0, out=4)

    assert throttle.wait(0.0) == 8.0
    assert throttle.wait(8.0) == 0.0


@pytest.mark.parametrize("quota", [Quota(), Quota(remaining=0), Quota(reset_after=9.0), Quota(limit=3)])
def test_half_a_header_says_nothing(quota: Quota) -> None:
    """A remainder without a reset, or the other way round, holds nothing up."""
    throttle = Throttle(Limits())

    throttle.observe(quota, 0.0, out=1)

    assert throttle.wait(0.0) == 0.0


def test_a_share_is_a_share() -> None:
    """One of four partitions has a quarter of the quota."""
    throttle = Throttle(Limits(rate=100), share=0.25)

    assert throttle.rate == pytest.approx(97 / 4)
    assert len(saturate(throttle, until=10.0)) == pytest.approx(250, rel=0.1)


def test_a_share_that_grows_is_used_at_once() -> None:
    """Partitions are adopted one by one: with all four the whole quota is ours again."""
    throttle = Throttle(Limits(rate=100))
    for share in (0.25, 0.5, 0.75, 1.0):
        throttle.share(share)

    assert throttle.rate == pytest.approx(97)


@given(st.integers(1, 300), st.integers(1, 12), st.data())
def test_calls_at_once_are_shared(limit: int, partitions: int, data: st.DataObject) -> None:
    """However the partitions fall to owners, together they keep the limit; only one whose part is none has one."""
    cuts = sorted(data.draw(st.sets(st.integers(1, partitions - 1)))) if partitions > 1 else []
    owned = [end - start for start, end in pairwise([0, *cuts, partitions])]

    calls = [int(Throttle(Limits(concurrency=limit), share=count / partitions).concurrency) for count in owned]

    assert sum(calls) <= limit + sum(limit * count < partitions for count in owned)
    assert all(call == max(1, limit * count // partitions) for call, count in zip(calls, owned, strict=True))


def test_a_share_that_changes_keeps_the_vendors_no() -> None:
    """A rebalance is no reason to forget that the vendor asked for less."""
    throttle = Throttle(Limits(rate=100))
    throttle.throttled(0.0, after=1.0)

    throttle.share(0.5)

    assert throttle.rate == pytest.approx(97 * 0.7 / 2)


def test_a_share_that_shrinks_saves_no_burst() -> None:
    """What was saved up under a larger share is given back."""
    throttle = Throttle(Limits(rate=1_000))
    throttle.wait(0.0)
    throttle.wait(10.0)  # the burst of thirty is full

    throttle.share(0.1)
    calls = saturate(throttle, until=10.99, now=10.0)

    assert bisect_right(calls, 10.0) <= 3


@pytest.mark.parametrize("at", [0.0, 1e6, 4e9])
def test_a_wait_that_was_long_enough_is_not_followed_by_another(at: float) -> None:
    """Rounding does not keep the alarm ringing."""
    throttle = Throttle(Limits(rate=3))
    throttle.spend(at)
    for _ in range(1_000):
        at += throttle.wait(at)
        assert throttle.wait(at) == 0 or at + throttle.wait(at) > at
        throttle.spend(at)


def test_a_daily_budget_waits_for_its_next_day() -> None:
    """When the day's calls are spent nothing goes out until 24 hours after the first of them."""
    throttle = Throttle(Limits(daily=3))
    for moment in (10.0, 20.0, 30.0):
        assert throttle.wait(moment) == 0.0
        throttle.spend(moment)

    assert throttle.wait(40.0) == DAY - 30.0
    assert throttle.wait(10.0 + DAY) == 0.0


def test_a_daily_budget_is_shared_by_partitions() -> None:
    """The owner of one of three partitions has a third of it."""
    throttle = Throttle(Limits(daily=9), share=1 / 3)
    for _ in range(3):
        throttle.spend(0.0)

    assert throttle.wait(1.0) == DAY - 1.0


@pytest.mark.parametrize(
    ("rate", "per_seconds"), [(2, 1), (3, 1), (10, 1), (19, 1), (100, 10), (190, 10), (60, 60), (1_000, 1)]
)
def test_a_read_and_the_writes_beside_it_keep_one_quota(rate: float, per_seconds: float) -> None:
    """In no window of the quota's length, and at whatever moment the read begins, do both make more than the quota."""
    limits = Limits(rate=rate, per_seconds=per_seconds)
    throttle, calls, begins, end = Throttle(limits), [], 2 * per_seconds + 0.37, 8 * per_seconds
    now = 0.0
    while now < end:
        if now >= begins:
            throttle.share(1.0, of_rate=1 - READ_SHARE)
        wait = throttle.wait(now)
        if wait == 0.0:
            throttle.spend(now)
            calls.append(now)
        now += min(wait, max(begins - now, 0.0) or wait)
    written, pace, now = len(calls), Pace(limits, begins=begins + 0.5), 0.0
    while (now := now + pace.take(now)) < end:
        calls.append(now)
    calls.sort()

    in_window = [bisect_left(calls, call + per_seconds - 1e-6) - number for number, call in enumerate(calls)]
    assert max(in_window) <= rate
    assert written > 0 < len(calls) - written
