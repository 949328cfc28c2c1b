"""When an alert says something: pure, by the clock that it is told."""

from __future__ import annotations

from worker.alerts.decide import Clear, Finding, Raise, Told, decide

HOUR = 3_600.0


def _finding(key: str = "crm") -> Finding:
    return Finding(key, 1, f"{key} is down")


def _told(key: str = "crm", *, at: float = 0.0, times: int = 1) -> Told:
    return Told(key, since=0.0, told_at=at, times=times, reason=f"{key} is down")


def test_what_begins_is_said_once() -> None:
    """While it holds nothing more is said, however often it is looked at."""
    assert list(decide([_finding()], {}, repeat=None, now=10.0)) == [Raise(_finding(), since=10.0, times=1)]
    assert list(decide([_finding()], {"crm": _told()}, repeat=None, now=9 * HOUR)) == []


def test_what_goes_on_is_said_again_after_repeat() -> None:
    """Counted from the last time that it was said; it holds since it began."""
    told = {"crm": _told(at=HOUR, times=2)}

    assert list(decide([_finding()], told, repeat=4 * HOUR, now=4.9 * HOUR)) == []
    assert list(decide([_finding()], told, repeat=4 * HOUR, now=5 * HOUR)) == [Raise(_finding(), since=0.0, times=3)]


def test_what_is_over_is_said_once() -> None:
    """And what holds beside it stays as it is."""
    told = {"crm": _told("crm"), "shop": _told("shop")}

    assert list(decide([_finding("shop")], told, repeat=None, now=1.0)) == [Clear(_told("crm"))]
    assert list(decide([], {}, repeat=None, now=1.0)) == []
