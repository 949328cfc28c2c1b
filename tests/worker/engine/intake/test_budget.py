"""One budget, equal shares."""

from __future__ import annotations

import pytest

from worker.engine.intake.budget import Budget


def test_one_lane_has_it_all() -> None:
    """Alone, a lane is full when the whole budget is used."""
    budget = Budget(100, 1_000)
    budget.lanes(1)

    assert [budget.full(records, 0) for records in (99, 100)] == [False, True]
    assert [budget.full(0, size) for size in (999, 1_000)] == [False, True]


@pytest.mark.parametrize("lanes", [1, 2, 5, 100])
def test_shares_are_equal_and_sum_up(lanes: int) -> None:
    """As many lanes as hold something, each full at its share: together never more than the budget."""
    budget = Budget(1_000, 1_000_000)
    budget.lanes(lanes)
    most = next(records for records in range(1_001) if budget.full(records, 0))

    assert most == 1_000 / lanes
    assert most * lanes <= budget.records_limit


def test_a_full_lane_flows_again_at_half() -> None:
    """Between half and full nothing changes, so that a partition is not paused and resumed by turns."""
    budget = Budget(100, 1_000)
    budget.lanes(2)

    assert budget.full(50, 0)
    assert not budget.roomy(26, 0)
    assert budget.roomy(25, 0)
    assert not budget.roomy(25, 251)


def test_no_lane_counts_as_one() -> None:
    """At the start nobody holds anything, and nothing is full."""
    budget = Budget(10, 10)
    budget.lanes(0)

    assert not budget.full(0, 0)
    assert budget.roomy(0, 0)


def test_what_was_taken_is_given_back() -> None:
    """The books balance."""
    budget = Budget(10, 1_000)
    budget.took(300)
    budget.took(200)
    budget.gave_back(1, 300)

    assert (budget.records, budget.bytes) == (1, 200)


@pytest.mark.parametrize(("records", "size", "expected"), [(125, 1_000, False), (126, 0, True), (1, 1_251, True)])
def test_more_than_a_poll_too_many_is_overfull(records: int, size: int, expected: bool) -> None:
    """A quarter above the budget of all lanes together is borne, no more."""
    budget = Budget(100, 1_000)
    budget.records, budget.bytes = records, size

    assert budget.overfull is expected
