"""How fast some of the events get through beside others: they bear the name of a lane, which the destination times."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from tests.benchmarks.contender import Contender, Start
from tests.benchmarks.stand import Stand, stop


@dataclass(frozen=True)
class Passed:
    """``arrived`` of ``events``, at so many a second; over the whole time that was given when some did not."""

    events: int
    arrived: int
    rate: float
    seconds: float

    @property
    def note(self) -> str:
        return "" if self.arrived == self.events else f"{self.arrived:,} of {self.events:,} within {self.seconds:.0f} s"


def pass_lanes(stand: Stand, contender: Contender, start: Start, lanes: Sequence[str], each: int) -> Passed:
    """Until ``each`` events of every lane have arrived. Other lanes may have as many each."""
    far = stand.far
    far.reset(each * (len(lanes) + 1))
    until = time.monotonic() + contender.seconds
    processes = start()
    try:
        for lane in lanes:
            far.wait_lane(lane, each, max(0.1, until - time.monotonic()))
    finally:
        stop(processes)
    times = far.report().times
    arrived = sum(min(each, len(times.get(lane, ()))) for lane in lanes)
    moments = sorted(moment for lane in lanes for moment in times.get(lane, ()))
    whole = arrived == each * len(lanes)
    seconds = moments[-1] - moments[0] if whole else contender.seconds
    return Passed(each * len(lanes), arrived, arrived / seconds, contender.seconds)
