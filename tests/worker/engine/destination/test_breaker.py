"""One dead destination blocks only itself."""

from __future__ import annotations

import pytest

from worker.engine.destination.breaker import (
    FAILING_LEAST,
    FIRST_PAUSE,
    LONGEST_PAUSE,
    REJECTED_WINDOW,
    Breaker,
    Quarantine,
)


def test_down_opens() -> None:
    """Nothing is attempted any more, and the reason is kept for whoever asks."""
    breaker = Breaker()

    assert breaker.down(100.0, "connection refused")

    assert breaker.state == "open"
    assert breaker.reason == "connection refused"
    assert not breaker.allows(0)
    assert breaker.probe_at == 100.0 + FIRST_PAUSE


def test_the_calls_that_were_out_are_no_news() -> None:
    """Only the first Down opens; the others change nothing, but a wait the vendor asks for counts."""
    breaker = Breaker()
    breaker.down(0.0, "refused")

    assert not breaker.down(0.5, "refused")
    assert breaker.probe_at == FIRST_PAUSE
    assert not breaker.down(0.5, "maintenance", after=60.0)
    assert breaker.probe_at == 60.5


def test_the_vendors_wait_wins() -> None:
    """A destination that says when it will be back is not probed before."""
    breaker = Breaker()

    breaker.down(0.0, "maintenance", after=600.0)

    assert breaker.probe_at == 600.0


def test_a_failing_share_opens() -> None:
    """An outage that answers 503 is an outage: more than half of at least twenty calls."""
    breaker = Breaker()
    opened = [breaker.failed(0.0, "503") for _ in range(FAILING_LEAST)]

    assert opened == [False] * (FAILING_LEAST - 1) + [True]
    assert breaker.state == "open"


def test_half_of_the_calls_may_fail() -> None:
    """A destination that answers half of the time is slow, not down."""
    breaker = Breaker()

    for _ in range(200):
        breaker.answered()
        assert not breaker.failed(0.0, "503")

    assert breaker.state == "closed"


def test_long_ago_does_not_count() -> None:
    """A thousand good calls do not hide an outage: only the last forty count."""
    breaker = Breaker()
    for _ in range(1_000):
        breaker.answered()

    opened = [breaker.failed(0.0, "503") for _ in range(25)]

    assert opened.index(True) == 20


def test_probes_grow_apart() -> None:
    """1, 2, 4, ... up to the longest pause, and no further."""
    breaker = Breaker()
    breaker.down(0.0, "refused")
    pauses = []
    for _ in range(8):
        now = breaker.probe_at
        breaker.probed(now, up=False, reason="still refused")
        pauses.append(breaker.probe_at - now)

    assert pauses == [2, 4, 8, 16, 30, 30, 30, 30]
    assert pauses[-1] == LONGEST_PAUSE
    assert breaker.reason == "still refused"


def test_half_open_lets_one_through_at_a_time() -> None:
    """A destination that has just come back is not run over."""
    breaker = Breaker()
    breaker.down(0.0, "refused")
    breaker.probed(1.0, up=True)

    assert breaker.state == "half-open"
    assert breaker.allows(0)
    assert not breaker.allows(1)


def test_the_first_answer_closes() -> None:
    """Yes or no, the vendor answers: everything flows, and the next outage begins with the shortest pause."""
    breaker = Breaker()
    breaker.down(0.0, "refused")
    breaker.probed(1.0, up=False)
    breaker.probed(3.0, up=True)

    assert breaker.answered()
    assert not breaker.answered()
    assert breaker.state == "closed"
    assert breaker.allows(100)
    breaker.down(10.0, "refused")
    assert breaker.probe_at == 10.0 + FIRST_PAUSE


@pytest.mark.parametrize("how", ["down", "failed"])
def test_a_trial_that_fails_opens_again_for_longer(how: str) -> None:
    """A probe that lies does not make a hot loop of trials."""
    breaker = Breaker()
    breaker.down(0.0, "refused")
    breaker.probed(1.0, up=True)

    assert breaker.down(1.0, "refused") if how == "down" else breaker.failed(1.0, "503")

    assert breaker.state == "open"
    assert breaker.probe_at == 1.0 + 2 * FIRST_PAUSE


def test_a_probe_that_comes_late_changes_nothing() -> None:
    """Closed meanwhile: a yes or a no from before is not news."""
    breaker = Breaker()

    breaker.probed(0.0, up=False, reason="old")

    assert breaker.state == "closed"
    assert breaker.reason == ""


def test_failures_before_an_outage_are_forgotten_after_it() -> None:
    """One failure after closing does not open again."""
    breaker = Breaker()
    for _ in range(FAILING_LEAST):
        breaker.failed(0.0, "503")
    breaker.probed(1.0, up=True)
    breaker.answered()

    assert not breaker.failed(2.0, "503")
    assert breaker.state == "closed"


def test_a_flood_of_rejections_quarantines() -> None:
    """More than half of the last two hundred: a schema changed at the destination."""
    quarantine = Quarantine()
    verdicts = [quarantine.outcome(refused=True) for _ in range(101)]

    assert verdicts == [False] * 100 + [True]


def test_half_rejected_is_data_not_schema() -> None:
    """Every second one bad, for ever, is no reason to stop."""
    quarantine = Quarantine()

    assert not any(quarantine.outcome(refused=number % 2 == 0) for number in range(2_000))


def test_the_window_slides() -> None:
    """What was rejected more than two hundred events ago does not count."""
    quarantine = Quarantine()
    for _ in range(100):
        quarantine.outcome(refused=True)
    for _ in range(REJECTED_WINDOW):
        quarantine.outcome(refused=False)

    assert not any(quarantine.outcome(refused=True) for _ in range(100))
    assert quarantine.outcome(refused=True)


def test_an_operator_starts_the_count_anew() -> None:
    """Resumed, the connection gets a whole new window to prove itself."""
    quarantine = Quarantine()
    for _ in range(150):
        quarantine.outcome(refused=True)
    quarantine.reset()

    assert not any(quarantine.outcome(refused=True) for _ in range(100))
