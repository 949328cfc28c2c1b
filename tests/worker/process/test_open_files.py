"""A thousand connections need more than a thousand sockets."""

from __future__ import annotations

import resource
from collections.abc import Iterator

import pytest

from worker.process.open_files import AT_MOST, raise_limit


@pytest.fixture
def hard() -> Iterator[int]:
    """What this process may raise it to; its limit is afterwards as it was."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_the_limit_is_raised(hard: int) -> None:
    """From the system's default to what the administrator allows."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))

    raised = raise_limit()

    assert raised == (AT_MOST if hard == resource.RLIM_INFINITY else min(hard, AT_MOST))
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (raised, hard)


def test_the_limit_is_never_lowered(hard: int) -> None:
    """Who was given more keeps it."""
    before = raise_limit()

    assert raise_limit() == before
