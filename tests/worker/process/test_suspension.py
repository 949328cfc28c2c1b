"""A worker that slept starts nothing before it knows what is still its own."""

from __future__ import annotations

from worker.process.suspension import ASLEEP_SECONDS, SuspensionDetector


def test_a_sleep_makes_unsure_until_it_is_confirmed() -> None:
    """Signs of life in time are a sure thing; after a gap nothing is, however many come, until the log has spoken."""
    suspension = SuspensionDetector(0.0)
    signs = [suspension.sign(at) for at in (1.0, 1.0 + ASLEEP_SECONDS, 3.1 + ASLEEP_SECONDS, 3.2 + ASLEEP_SECONDS)]
    suspension.confirmed(suspension.naps)

    assert signs == [True, True, False, False]
    assert suspension.sign(3.3 + ASLEEP_SECONDS)


def test_what_was_confirmed_before_another_nap_does_not_count() -> None:
    """The answer to a question that was asked before the second sleep says nothing of the time after it."""
    suspension = SuspensionDetector(0.0)
    suspension.sign(10.0)
    asked = suspension.naps
    suspension.sign(20.0)
    suspension.confirmed(asked)

    assert not suspension.sign(20.1)
