"""A loop that stands still is seen from beside it, and shown where it stands."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from worker.clock import FakeClock
from worker.process.watchdog import StallDetector, Watchdog


@pytest.mark.parametrize(
    ("looks", "said"),
    [
        ([(1, 1), (2, 2), (3, 3)], [None, None, None]),
        ([(1, 0), (2, 0), (3, 0), (4, 0), (5, 0)], [None, None, None, None, 5]),  # stalled
        ([(1, 0), (2, 0), (3, 0), (4, 0), (5, 0), (6, 0), (7, 0)], [None] * 4 + [5, None, None]),  # told once
        ([(1, 0), (2, 0), (3, 0), (4, 0), (5, 0), (6, 0), (7, 6.5)], [None] * 4 + [5, None, 6.5]),  # it goes on
        ([(1, 1), (60, 1), (61, 1), (62, 62)], [None] * 4),  # the whole process was stopped for a minute
        ([(1, 1), (60, 1), (61, 1), (62, 1), (63, 1), (64, 1), (65, 1)], [None] * 6 + [5]),  # and stalls after it
    ],
)
def test_patience(looks: list[tuple[float, float]], said: list[float | None]) -> None:
    """Five seconds without a tick are a stall, unless the looker itself was late."""
    detector = StallDetector(5.0, 0.0)

    assert [detector.look(now, ticked) for now, ticked in looks] == said


async def test_a_stall_is_logged_and_shown_once() -> None:
    """The stacks are written when the stall begins; that it ended is told with how long it was."""
    clock, shown = FakeClock(), []
    watchdog = Watchdog(clock, show=lambda: shown.append(clock.monotonic()))
    with capture_logs() as logs:
        for _ in range(7):
            clock.advance(1.0)
            watchdog.look()
        watchdog.start()  # it ticks
        watchdog.stop()
        watchdog.look()

    assert shown == [5.0]
    assert [(log["event"], log["seconds"]) for log in logs] == [("loop.stalled", 5.0), ("loop.resumed", 7.0)]


async def test_the_stacks_go_to_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    """Without another way to show them, every thread's stack is on standard error."""
    clock = FakeClock()
    watchdog = Watchdog(clock)
    for _ in range(5):
        clock.advance(1.0)
        watchdog.look()

    assert "test_the_stacks_go_to_stderr" in capfd.readouterr().err
