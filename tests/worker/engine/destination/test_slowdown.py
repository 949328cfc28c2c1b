"""Slowing down is for where it helps."""

from __future__ import annotations

from worker.engine.destination.slowdown import ENOUGH, RECENT, SlowdownEvidence


def answers(evidence: SlowdownEvidence, *, refused: int, of: int) -> None:
    """Spread evenly, nothing under way behind them."""
    for number in range(of):
        evidence.count(refused=(number + 1) * refused // of > number * refused // of, out=0)


def test_nothing_known_is_no_excuse() -> None:
    """Before there are answers a refusal is believed."""
    assert SlowdownEvidence().hopeless


def test_most_is_refused() -> None:
    """Half of the latest calls refused, and nothing else is asked."""
    evidence = SlowdownEvidence()
    answers(evidence, refused=100, of=1_000)
    assert not evidence.hopeless

    answers(evidence, refused=RECENT // 2, of=RECENT)

    assert evidence.hopeless


def test_a_share_takes_refusals_to_know() -> None:
    """However many calls were taken: the refusals count."""
    evidence = SlowdownEvidence()
    answers(evidence, refused=ENOUGH - 1, of=10_000)
    assert not evidence.complete

    evidence.count(refused=True, out=0)

    assert evidence.complete


def test_a_quota_refuses_less_when_asked_less() -> None:
    """Half of the pace, half of the share: that was worth it."""
    evidence = SlowdownEvidence()
    answers(evidence, refused=40, of=400)

    evidence.slowed_on_trial()
    answers(evidence, refused=20, of=400)

    assert evidence.complete
    assert not evidence.in_vain


def test_a_vendor_that_draws_lots_refuses_as_much() -> None:
    """The same share at half of the pace: slowing down spares nobody."""
    evidence = SlowdownEvidence()
    answers(evidence, refused=40, of=400)

    evidence.slowed_on_trial()
    answers(evidence, refused=20, of=200)

    assert evidence.in_vain


def test_without_a_trial_nothing_is_in_vain() -> None:
    """One pace alone has no gradient; and one that changed for other reasons is no trial."""
    evidence = SlowdownEvidence()
    answers(evidence, refused=40, of=400)
    assert not evidence.in_vain

    evidence.slowed_on_trial()
    evidence.changed()
    answers(evidence, refused=40, of=400)

    assert not evidence.in_vain


def test_calls_of_the_old_pace_do_not_count_for_the_new() -> None:
    """What was under way when the pace changed is left out."""
    evidence = SlowdownEvidence()
    answers(evidence, refused=40, of=400)
    evidence.count(refused=True, out=16)

    evidence.slowed_on_trial()
    for left in range(15, -1, -1):
        evidence.count(refused=True, out=left)
    answers(evidence, refused=20, of=400)

    assert not evidence.in_vain
