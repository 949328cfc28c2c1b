"""The lease of a group: told the time, so that nothing waits here."""

from __future__ import annotations

import pytest

from topics.sqlite.lease import TAKEOVER_SECONDS, Lease, Watch


@pytest.mark.parametrize("lease", [None, Lease(3, 7, None)])
def test_free(lease: Lease | None) -> None:
    """A lease that nobody ever held, or that was released, may be taken at once."""
    assert Watch().may_take(lease, now=0.0)


def test_held() -> None:
    """A lease may be taken when its counter stood still for the whole time, by the watcher's clock."""
    watch, lease = Watch(), Lease(1, 5, "somebody")

    assert not watch.may_take(lease, now=100.0)
    assert not watch.may_take(lease, now=100.0 + TAKEOVER_SECONDS - 0.01)
    assert watch.may_take(lease, now=100.0 + TAKEOVER_SECONDS)


@pytest.mark.parametrize("later", [Lease(1, 6, "somebody"), Lease(2, 5, "somebody"), Lease(1, 5, "another")])
def test_every_sign_of_life_counts(later: Lease) -> None:
    """A beat, a new epoch or a new owner starts the time anew."""
    watch = Watch()
    watch.may_take(Lease(1, 5, "somebody"), now=0.0)

    assert not watch.may_take(later, now=TAKEOVER_SECONDS)
    assert not watch.may_take(later, now=2 * TAKEOVER_SECONDS - 0.01)
    assert watch.may_take(later, now=2 * TAKEOVER_SECONDS)
