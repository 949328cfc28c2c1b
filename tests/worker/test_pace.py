"""The throttle against vendors of every kind, none of which says what it allows: minutes of traffic, simulated."""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from connectors.contract import Limits
from worker.engine.destination.throttle import Throttle

LATENCY = 0.05
SECONDS = 120.0
STEP = 0.00025
"""What a call costs us before the next can go out."""

Vendor = Callable[[float], float | None]
"""At a moment: taken (None), or the Retry-After of a 429."""


@dataclass
class Traffic:
    taken: list[float]
    refused: list[float]

    @property
    def share(self) -> float:
        return len(self.refused) / (len(self.refused) + len(self.taken))


def saturate(vendor: Vendor, concurrency: int, *, seconds: float = SECONDS, rate: float | None = None) -> Traffic:
    """A connection that always has something to send."""
    throttle = Throttle(Limits(rate=rate, concurrency=concurrency))
    traffic = Traffic([], [])
    under_way: list[float] = []
    now = 0.0
    while now < seconds:
        room = len(under_way) < int(throttle.concurrency)
        wait = throttle.wait(now) if room else float("inf")
        back = under_way[0] if under_way else float("inf")
        if wait == 0 and now < back:
            throttle.spend(now)
            heapq.heappush(under_way, now + LATENCY)
            now += STEP
        elif now + wait < back:
            now += wait
        else:
            now = max(now, heapq.heappop(under_way))
            _answer(throttle, traffic, vendor(back), now, len(under_way))
    return traffic


def _answer(throttle: Throttle, traffic: Traffic, after: float | None, now: float, out: int) -> None:
    if after is None:
        traffic.taken.append(now)
        throttle.answered(now, out)
    else:
        traffic.refused.append(now)
        throttle.refused(out)
        throttle.throttled(now, after)


def lots(share: float, after: float, seed: int) -> Vendor:
    """Refuses that share of the calls, whatever the pace."""
    dice = random.Random(seed)
    return lambda _: after if dice.random() < share else None


def window(quota: int, seconds: float) -> Vendor:
    """So many calls in each window; a refusal says when the next one begins."""
    calls: dict[int, int] = {}

    def answer(at: float) -> float | None:
        number = int(at / seconds)
        calls[number] = calls.get(number, 0) + 1
        return None if calls[number] <= quota else (number + 1) * seconds - at

    return answer


def bucket(rate: float, burst: float, after: float) -> Vendor:
    """A token bucket that asks for less patience than it takes."""
    state = [burst, 0.0]

    def answer(at: float) -> float | None:
        tokens = min(burst, state[0] + (at - state[1]) * rate)
        state[:] = [max(tokens - 1, tokens % 1), at] if tokens >= 1 else [tokens, at]
        return None if tokens >= 1 else after

    return answer


@pytest.mark.parametrize("seed", range(10))
def test_a_vendor_that_refuses_by_lot_is_not_sunk_for(seed: int) -> None:
    """One call of ten is refused at any pace, with 0.1 s of silence: hundreds a second go through, not twenty."""
    traffic = saturate(lots(0.1, 0.1, seed), 256)

    assert len(traffic.taken) / SECONDS > 300


@pytest.mark.parametrize("concurrency", [16, 64, 256])
def test_a_lot_costs_half_at_the_most(concurrency: int) -> None:
    """At every size: no less than a third of what the same vendor gives to a sender that obeys and never slows down.

    Half is the pace that is kept, the rest are the trials.
    """
    obedient = len(_obedient(lots(0.1, 0.1, 1), concurrency).taken)
    ours = [len(saturate(lots(0.1, 0.1, seed), concurrency).taken) for seed in range(1, 6)]

    assert sum(ours) / len(ours) > obedient / 3


def _obedient(vendor: Vendor, concurrency: int) -> Traffic:
    """Waits as asked, and then sends as much as before."""
    traffic, now, still = Traffic([], []), 0.0, 0.0
    while now < SECONDS:
        for _ in range(concurrency):
            now += STEP
            after = vendor(now + LATENCY)
            (traffic.taken if after is None else traffic.refused).append(now)
            still = max(still, now + LATENCY + (after or 0.0))
        now = max(now + LATENCY, still)
    return traffic


@pytest.mark.parametrize("concurrency", [4, 16, 64, 256])
@pytest.mark.parametrize("vendor", ["window", "bucket"])
def test_an_unknown_quota_is_found_and_used(vendor: str, concurrency: int) -> None:
    """Whatever is allowed is used, nine tenths of it or what our calls at once make; few calls are in vain."""
    allowed = min(100.0, concurrency / LATENCY)
    traffic = saturate(window(100, 1.0) if vendor == "window" else bucket(100, 10, 0.1), concurrency)

    assert len(traffic.taken) / SECONDS > 0.85 * allowed
    assert traffic.share < 0.4
    assert concurrency > 16 or traffic.share < 0.1


@pytest.mark.parametrize("concurrency", [1, 16, 256])
def test_a_vendor_that_takes_nothing_is_not_hammered(concurrency: int) -> None:
    """It is asked less and less, down to one call at a time, each after the silence it asked for."""
    traffic = saturate(lambda _: 0.5, concurrency)

    last = [moment for moment in traffic.refused if moment > SECONDS / 2]
    assert traffic.taken == []
    assert len(last) <= SECONDS / 2 / (0.5 + LATENCY) + 2
    assert len(traffic.refused) <= 4 * concurrency + SECONDS / (0.5 + LATENCY) + 10


def test_a_lot_that_becomes_a_no_is_noticed() -> None:
    """A pace that was kept because slowing down did not help is not kept when everything is refused."""
    lot = lots(0.1, 0.1, 1)
    traffic = saturate(lambda at: lot(at) if at < 60 else 0.1, 256)

    last = [moment for moment in traffic.refused if moment > 90]
    assert len([moment for moment in traffic.taken if moment < 60]) > 60 * 300
    assert len(last) <= 30 / (0.1 + LATENCY) + 2


@pytest.mark.parametrize("after", [0.1, 1.0, 7.0])
def test_one_answer_stills_the_whole_connection(after: float) -> None:
    """Whatever the evidence: no call goes out before the wait of every refusal is over."""
    lot = lots(0.1, after, 3)
    sent: list[float] = []
    silences: deque[tuple[float, float]] = deque(maxlen=100)

    def vendor(at: float) -> float | None:
        sent.append(at - LATENCY)
        assert not any(said + 1e-6 < sent[-1] < until - 1e-6 for said, until in silences)
        if (answer := lot(at)) is not None:
            silences.append((at, at + answer))
        return answer

    saturate(vendor, 64)

    assert len(sent) > 100


def test_a_known_quota_is_kept_under_refusals() -> None:
    """A vendor that refuses by lot does not lead us above the quota that we know of."""
    traffic = saturate(lots(0.1, 0.1, 1), 64, rate=100.0)
    sent = sorted(traffic.taken + traffic.refused)

    for second in range(int(SECONDS)):
        assert sum(1 for moment in sent if second <= moment - LATENCY < second + 1) <= 100
    assert len(sent) > 100 / 3 * SECONDS
