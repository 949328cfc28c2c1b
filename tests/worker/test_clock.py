"""The clock that tests move, and the one that moves by itself."""

from __future__ import annotations

import asyncio

from worker.clock import FakeClock, SystemClock


def test_timers_fire_in_order_while_time_passes() -> None:
    """Each sees the moment it asked for; those of the same moment keep their order."""
    clock = FakeClock(now=1_000.0)
    seen: list[tuple[str, float]] = []
    for name, when in (("c", 3.0), ("a", 1.0), ("b", 1.0), ("late", 9.0)):
        clock.call_at(when, lambda name=name: seen.append((name, clock.monotonic())))  # type: ignore[misc]

    clock.advance(5.0)

    assert seen == [("a", 1.0), ("b", 1.0), ("c", 3.0)]
    assert (clock.monotonic(), clock.now(), clock.next_timer()) == (5.0, 1_005.0, 9.0)


def test_a_timer_may_set_the_next() -> None:
    """What is due within the same advance is run within it."""
    clock = FakeClock()
    seen: list[float] = []

    def tick() -> None:
        seen.append(clock.monotonic())
        clock.call_at(clock.monotonic() + 1.0, tick)

    clock.call_at(1.0, tick)
    clock.advance(3.5)

    assert seen == [1.0, 2.0, 3.0]


def test_a_cancelled_timer_is_silent() -> None:
    """It is not even waited for."""
    clock = FakeClock()
    fired: list[str] = []
    clock.call_at(1.0, lambda: fired.append("no")).cancel()

    clock.advance(2.0)

    assert fired == []
    assert clock.next_timer() is None


async def test_sleep_ends_when_the_test_says_so() -> None:
    """A sleeper wakes at its moment and not before; a cancelled one is no trouble."""
    clock = FakeClock()
    sleeper = asyncio.create_task(clock.sleep(10.0))
    gone = asyncio.create_task(clock.sleep(5.0))
    await asyncio.sleep(0)
    gone.cancel()
    clock.advance(9.9)
    await asyncio.sleep(0)
    assert not sleeper.done()

    clock.advance(0.1)
    await sleeper

    assert gone.cancelled()


def test_the_same_seed_rolls_the_same_dice() -> None:
    """A failing history can be run again."""
    assert [FakeClock(seed=4).roll() for _ in range(3)] == [FakeClock(seed=4).roll()] * 3
    assert all(0 <= FakeClock(seed=seed).roll() < 1 for seed in range(100))


async def test_the_system_clock_calls_what_is_already_due() -> None:
    """A moment in the past is now."""
    clock = SystemClock()
    rung = asyncio.Event()

    clock.call_at(clock.monotonic() - 5.0, rung.set)

    await asyncio.wait_for(rung.wait(), 5)
    assert 0 <= clock.roll() < 1
    assert clock.now() > 1_700_000_000
