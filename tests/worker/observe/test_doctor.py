"""What ``doctor`` says of the log."""

from __future__ import annotations

from typing import Any, cast

import pytest

from topics.errors import LogError
from worker.observe.doctor import _commits

DAY = 86_400.0


class Broker:
    def __init__(self, kept: float | LogError | None) -> None:
        self._kept = kept

    def commits_kept(self) -> float | None:
        if isinstance(self._kept, LogError):
            raise self._kept
        return self._kept


@pytest.mark.parametrize(
    ("kept", "state", "said"),
    [
        (7 * DAY, "ok", "kept for 7 days after the last worker has stopped"),
        (30 * DAY, "ok", "kept for 30 days"),
        (DAY, "warning", "1 days after the last one has stopped: set its offsets.retention.minutes to 10080"),
        (DAY / 2, "warning", "0.5 days"),
        (LogError("ClusterAuthorizationFailedError"), "ok", "cannot be read (ClusterAuthorizationFailedError)"),
    ],
)
def test_how_long_commits_are_kept(kept: float | LogError, state: str, said: str) -> None:
    """A broker that forgets the workers' progress sooner than a holiday is warned of; one that does not say, is not."""
    [finding] = _commits(cast("Any", Broker(kept)))

    assert (finding.check, finding.state) == ("commits", state)
    assert said in finding.said


def test_the_embedded_log_forgets_nothing() -> None:
    """There is nothing to say."""
    assert list(_commits(cast("Any", Broker(None)))) == []
