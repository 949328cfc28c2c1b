"""A worker that slept starts nothing before it knows what is still its own."""

from __future__ import annotations

from worker.process.suspension import ASLEEP_SECONDS, Wakefulness


def test_a_sleep_makes_unsure_until_it_is_confirmed() -> None:
    """Signs of life in time are a sure thing; after a gap nothing is, however many come, until the log has spoken."""
    wakefulness = Wakefulness(0.0)
    signs = [wakefulness.sign(at) for at in (1.0, 1.0 + ASLEEP_SECONDS, 3.1 + ASLEEP_SECONDS, 3.2 + ASLEEP_SECONDS)]
    wakefulness.confirmed(wakefulness.naps)

    assert signs == [True, True, False, False]
    assert wakefulness.sign(3.3 + ASLEEP_SECONDS)


def test_what_was_confirmed_before_another_nap_does_not_count() -> None:
    """The answer to a question that was asked before the second sleep says nothing of the time after it."""
    wakefulness = Wakefulness(0.0)
    wakefulness.sign(10.0)
    asked = wakefulness.naps
    wakefulness.sign(20.0)
    wakefulness.confirmed(asked)

    assert not wakefulness.sign(20.1)
