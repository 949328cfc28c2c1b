"""How often and how late."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.contract import RetryKind
from worker.engine.decide.retry import LONGEST_WAIT, SEED_LINES, SHORT_LINES, RetryPolicy

KINDS: tuple[RetryKind, ...] = get_args(RetryKind)
POLICY = RetryPolicy()


def ceilings(kind: RetryKind) -> list[float]:
    waits = (POLICY.delay(kind, attempt, 1.0, after=None, short=False) for attempt in range(1, 20))
    return [wait for wait in waits if wait is not None]


def test_the_line_of_the_docstring() -> None:
    """What ``RetryPolicy`` says of server waits is what it computes."""
    said = (RetryPolicy.__doc__ or "").split("at most: ")[1].split(", then")[0]

    assert ", ".join(f"{wait:.0f}" for wait in ceilings("server")) == said == "1, 2, 4, 8, 16, 32, 64, 128"


@pytest.mark.parametrize(("kind", "line"), [("no_answer", [1, 2, 4, 8, 16]), ("connection", [1, 2])])
def test_the_lines_of_the_seed(kind: RetryKind, line: list[float]) -> None:
    """No answer: 5 more within 50 s; a broken connection: 2 more within 60 s."""
    assert ceilings(kind) == line
    assert sum(ceilings(kind)) <= {"no_answer": 50, "connection": 60}[kind]


def test_every_kind_has_both_lines() -> None:
    """A connector may give any kind, short or not."""
    assert set(SEED_LINES) == set(SHORT_LINES) == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_short_gives_up_at_once(kind: RetryKind) -> None:
    """Somebody waits in front of a screen."""
    assert POLICY.delay(kind, 1, 0.5, after=None, short=True) is None


@pytest.mark.parametrize("kind", KINDS)
def test_the_vendors_wait_wins(kind: RetryKind) -> None:
    """Retry-After replaces our guess, whatever the dice say."""
    assert POLICY.delay(kind, 1, 0.0, after=17.0, short=False) == 17.0


@pytest.mark.parametrize("kind", KINDS)
def test_the_vendors_wait_does_not_win_over_the_count(kind: RetryKind) -> None:
    """A vendor that always asks to wait does not keep a record for ever."""
    last = SEED_LINES[kind].more

    assert POLICY.delay(kind, last, 0.5, after=1.0, short=False) == 1.0
    assert POLICY.delay(kind, last + 1, 0.5, after=1.0, short=False) is None


@pytest.mark.parametrize(("after", "wait"), [(-3.0, 0.0), (90_000.0, LONGEST_WAIT)])
def test_the_vendors_wait_is_held_in_bounds(after: float, wait: float) -> None:
    """A date in the past is now; more than a day is a day."""
    assert POLICY.delay("server", 1, 0.5, after=after, short=False) == wait


@given(st.sampled_from(KINDS), st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_the_delay_is_within_its_ceiling(kind: RetryKind, attempt: int, roll: float) -> None:
    """Full jitter: anywhere between nothing and the ceiling of the attempt, never beyond the cap."""
    delay = POLICY.delay(kind, attempt, roll, after=None, short=False)

    if attempt > SEED_LINES[kind].more:
        assert delay is None
    else:
        assert delay is not None
        assert 0 <= delay <= SEED_LINES[kind].ceiling(attempt) <= 300
