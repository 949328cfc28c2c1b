"""The progress of one owned partition, under completion in any order.

The commit is the low watermark: every offset below it is done. What is done above it, and what the next owner must
know of the rest, travels in the commit's metadata (``worker/progress/metadata.py``). A restart and an opening breaker
take the same way: forget what waits, keep this memory, read again from the watermark.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import replace

from topics.log import Commit
from worker.progress.metadata import LetterCause, Memory, Range, Tries, decode, encode


class Progress:
    """Told what was received and what is done; answers what may be committed.

    ``start`` is the offset to read from. Never lets the watermark pass an offset that is not done.
    """

    def __init__(self, commit: Commit | None) -> None:
        """Raises ``worker.progress.metadata.ForeignMetadata``: call again with the metadata left out."""
        start = commit.offset if commit else 0
        self._remember(start, decode(start, commit.metadata) if commit else Memory())

    def _remember(self, start: int, memory: Memory) -> None:
        self.start = start
        self.sent_to = max(memory.sent_to, start)
        self._suspected_to = self.sent_to
        self._prior = list(memory.done)
        self._prior_starts = [start for start, _ in self._prior]
        self._tries = dict(memory.tries)
        self._pending: OrderedDict[int, object] = OrderedDict()
        self._top = self.start
        self._highest_done = self.start

    @property
    def top(self) -> int:
        """One above the highest offset received."""
        return self._top

    @property
    def watermark(self) -> int:
        """The first offset that is not done."""
        return next(iter(self._pending), self._top)

    @property
    def first(self) -> object:
        """What ``carry`` said of the watermark: it holds up the commit. None when nothing was said, or none is."""
        return next(iter(self._pending.values()), None)

    @property
    def unfinished(self) -> int:
        return len(self._pending)

    def receive(self, offset: int) -> bool:
        """Take note of a record; False when it is done already and must be skipped.

        Offsets come in ascending order; those that the log skips (a trim, a control record) count as done.
        """
        if offset < self._top:
            return False
        self._top = offset + 1
        if self._prior and self._done_before(offset):
            self._highest_done = self._top
            return False
        self._pending[offset] = None
        return True

    def pass_to(self, offset: int) -> None:
        """The log holds no record from the last received one up to this offset: what lies between counts as done."""
        self._top = max(self._top, offset)

    def carry(self, offset: int, what: object) -> None:
        """Keep what a received record is for as long as it is not done."""
        self._pending[offset] = what

    def let_go(self) -> None:
        """Forget what the records were for, not that they are undone."""
        self._pending = OrderedDict.fromkeys(self._pending)

    def suspected(self, offset: int) -> bool:
        """True when a call for this offset may have happened: an earlier owner's, or one of ours that was cut off."""
        tries = self._tries.get(offset)
        return offset < self._suspected_to or (tries is not None and tries.doubt)

    def again(self) -> Progress:
        """The same progress, to be read again from the watermark by the same owner.

        What it never sent is not suspected, so nothing may be left out here, as a commit leaves out what is too long.
        """
        fresh = Progress(None)
        fresh._remember(*self._memory())
        fresh._suspected_to = self._suspected_to
        return fresh

    def tries(self, offset: int) -> Tries | None:
        """What was tried so far, by us or by an earlier owner."""
        return self._tries.get(offset)

    def tried(self, offset: int, tries: Tries) -> None:
        self._tries[offset] = tries

    def announce_letter(self, offset: int, letter_cause: LetterCause) -> bool:
        """Its letter is about to be written: from the next commit on, nobody calls for it any more.

        True when one of its calls may have happened.
        """
        before = self._tries.get(offset, Tries(0))
        doubt = before.doubt or letter_cause == "unknown-outcome"
        self._tries[offset] = replace(before, due=0.0, doubt=doubt, letter_cause=letter_cause)
        return doubt

    def mark(self, sent_to: int) -> None:
        """Announce calls that cannot be repeated, up to this offset; they may start when it is committed."""
        if sent_to > self._top:
            raise ValueError(f"sent_to {sent_to} is beyond what was received ({self._top})")
        self.sent_to = max(self.sent_to, sent_to)

    def done(self, offset: int) -> None:
        del self._pending[offset]
        self._tries.pop(offset, None)
        self._highest_done = max(self._highest_done, offset + 1)

    def snapshot(self) -> Commit:
        watermark, memory = self._memory()
        return Commit(watermark, encode(watermark, memory))

    def last(self) -> Commit:
        """The commit of an owner that gives the partition up in good order: it knows how every call of its own ended.

        What was announced and never sent is not suspected by the next owner; what may have happened has its doubt.
        """
        watermark, memory = self._memory()
        known = replace(memory, sent_to=max(self._suspected_to, watermark))
        commit = Commit(watermark, encode(watermark, known))
        if len(decode(watermark, commit.metadata).tries) < len(memory.tries):  # no room for every doubt
            return self.snapshot()
        return commit

    def _memory(self) -> tuple[int, Memory]:
        watermark = self.watermark
        tries = {offset: entry for offset, entry in self._tries.items() if offset >= watermark}
        return watermark, Memory(self.sent_to, list(self._done_ranges(watermark)), tries)

    def _done_before(self, offset: int) -> bool:
        if offset >= self._prior[-1][1]:  # read again past all that an earlier owner did: forget it
            self._prior, self._prior_starts = [], []
            return False
        place = bisect_right(self._prior_starts, offset) - 1
        return place >= 0 and offset < self._prior[place][1]

    def _done_ranges(self, watermark: int) -> Iterator[Range]:
        """What is done above the watermark.

        The gaps between what is pending, then what an earlier owner did and we have not read again yet.
        """
        expected = watermark
        for offset in self._pending:
            if offset > expected:
                yield expected, offset
            expected = offset + 1
            if offset >= self._highest_done and not self._prior:
                break  # nothing above is done: a long queue of waiting records costs nothing here
        else:
            if expected < self._top:
                yield expected, self._top
        for start, end in self._prior:
            if end > self._top:
                yield max(start, self._top), end
