"""Does slowing down help? What the answers of a vendor that says "too many" have to say about that.

A quota refuses a share of the calls that falls when we slow down, at least in proportion. A vendor that is overloaded
by others, or refuses by lot, refuses the same share at any pace of ours: below a point, slowing down costs us and
spares nobody. So a step down is taken on trial, and what was refused before and after it is compared: the gradient of
refusals over pace, as TCP Vegas and Netflix's concurrency-limits take the gradient of delays. Sans clock, sans I/O.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

ENOUGH = 20
"""Refusals that make a sample: a share known to a fifth or so (the error of a count is its root)."""
RECENT = 32
"""Calls that say whether the vendor takes anything at all now."""
HELPED = 0.7
"""Halving the pace should halve what a quota refuses, and changes nothing at a vendor that does not look at our pace:
the bound is half-way between, by ratio."""


@dataclass(slots=True)
class Sample:
    """Answers to calls of one pace."""

    taken: int = 0
    refused: int = 0

    @property
    def enough(self) -> bool:
        return self.refused >= ENOUGH

    @property
    def share(self) -> float:
        return self.refused / max(1, self.refused + self.taken)


class SlowdownEvidence:
    """The answers since the pace changed, and those before it.

    Calls that were under way when the pace changed say nothing of the new one: as many answers as there were then are
    left out of its sample.
    """

    def __init__(self) -> None:
        self._recent: deque[bool] = deque(maxlen=RECENT)
        self._sample = Sample()
        self._before: Sample | None = None
        self._out = 0
        self._old = 0

    def count(self, *, refused: bool, out: int) -> None:
        """A call was answered; ``out`` more are under way."""
        self._out = out
        self._recent.append(refused)
        if self._old:
            self._old -= 1
        elif refused:
            self._sample.refused += 1
        else:
            self._sample.taken += 1

    @property
    def hopeless(self) -> bool:
        """Most calls are refused: whether slowing down helps is no question then."""
        return 2 * sum(self._recent) >= len(self._recent)

    @property
    def complete(self) -> bool:
        """Enough was refused at this pace to say how large a share it is."""
        return self._sample.enough

    @property
    def in_vain(self) -> bool:
        """This pace is a trial, and about as much is refused as at the one before it."""
        return self._before is not None and self._sample.share >= HELPED * self._before.share

    def slowed_on_trial(self) -> None:
        """The pace is lower now; what was seen until now is what it is compared with."""
        self._begin(self._sample)

    def changed(self) -> None:
        """The pace is another now, for other reasons: look anew."""
        self._begin(None)

    def _begin(self, before: Sample | None) -> None:
        self._before, self._sample, self._old = before, Sample(), self._out
