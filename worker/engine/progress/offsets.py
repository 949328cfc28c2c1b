"""The progress of one owned partition, under completion in any order.

The commit is the low watermark: every offset below it is done. What is done above it, and what the next owner must
know of the rest, travels in the commit's metadata (``metadata.py`` beside this file). A restart and an opening
breaker take the same way: forget what waits, keep this memory, read again from the watermark.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import replace

from topics.log import Commit
from worker.engine.progress.metadata import LetterCause, Memory, Tries, decode, encode
from worker.engine.progress.ranges import Range, Ranges, from_on, of, union


class Progress:
    """Told what was received and what is done; answers what may be committed.

    ``start`` is the offset to read from. Never lets the watermark pass an offset that is not done.
    """

    def __init__(self, commit: Commit | None) -> None:
        """Raises ``worker.engine.progress.metadata.ForeignMetadata``: call again with the metadata left out."""
        start = commit.offset if commit else 0
        self._remember(start, decode(start, commit.metadata) if commit else Memory())

    @classmethod
    def of(cls, start: int, memory: Memory) -> Progress:
        """The progress of an owner that knows all this, more perhaps than a commit could carry."""
        progress = cls(None)
        progress._remember(start, memory)
        return progress

    def _remember(self, start: int, memory: Memory) -> None:
        self.start = start
        self._suspects = Ranges(memory.announced)
        self._suspects_begun = dict(memory.begun)
        self._announced: dict[int, float] = {}
        self._prior = Ranges(memory.done)
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

    def leave_out(self, start: int, end: int) -> None:
        """What lies there is done, though it was never received: it cannot be read, and an operator goes past it."""
        if end > max(start, self._top):
            self._prior = Ranges(union([*self._prior.ranges, (max(start, self._top), end)]))

    def passed(self, offset: int) -> int | None:
        """The end of what is done from there on, of an offset that was not received yet; None when it is undone."""
        return next((end for start, end in self._prior.ranges if start <= offset < end), None)

    def carry(self, offset: int, what: object) -> None:
        """Keep something with a received record until it is done."""
        self._pending[offset] = what

    def let_go(self) -> None:
        """Drop what ``carry`` has kept of the records, but not that they are undone."""
        self._pending = OrderedDict.fromkeys(self._pending)

    def suspected(self, offset: int) -> bool:
        """True when a call for this offset may have happened: an earlier owner's, or one of ours that was cut off."""
        return self.began(offset) is not None

    def began(self, offset: int) -> float | None:
        """When the call that may have happened began, in seconds since the epoch; None when there was none.

        0: an earlier owner was about to make it, and nobody knows whether it began.
        """
        tries = self._tries.get(offset)
        if tries is not None and tries.doubt:
            return tries.first_at
        return self._suspects_begun.get(offset, 0.0) if offset in self._suspects else None

    def again(self) -> Progress:
        """The same progress, to be read again from the watermark by the same owner, who has no call under way.

        What it never sent is not suspected, so nothing may be left out here, as a commit leaves out what is too long.
        """
        fresh = Progress(None)
        fresh._remember(*self._memory(ours=False))
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
        before = self._tries.get(offset) or Tries(0, self.began(offset) or 0.0)
        doubt = before.doubt or letter_cause == "unknown-outcome"
        self._tries[offset] = replace(before, due=0.0, doubt=doubt, letter_cause=letter_cause)
        return doubt

    def announce(self, offset: int) -> None:
        """A call that cannot be repeated is about to begin; it may when this is committed."""
        self._announced[offset] = 0.0

    def begin(self, offset: int, now: float) -> None:
        """The call that was announced begins."""
        self._announced[offset] = now

    def withdraw(self, offset: int) -> None:
        """Its call is over, and what it left is said by other means; or it does not begin now."""
        self._announced.pop(offset, None)

    def done(self, offset: int) -> None:
        del self._pending[offset]
        self._tries.pop(offset, None)
        self._announced.pop(offset, None)
        self._suspects_begun.pop(offset, None)
        self._highest_done = max(self._highest_done, offset + 1)

    def snapshot(self) -> Commit:
        watermark, memory = self._memory(ours=True)
        return Commit(watermark, encode(watermark, memory))

    def last(self) -> Commit:
        """The commit of an owner that gives the partition up in good order: it knows how every call of its own ended.

        What was announced and never sent is not suspected by the next owner; what may have happened has its doubt.
        """
        watermark, memory = self._memory(ours=False)
        return Commit(watermark, encode(watermark, memory))

    def _memory(self, *, ours: bool) -> tuple[int, Memory]:
        """``ours``: with the calls that this owner has announced."""
        watermark = self.watermark
        announced = from_on(self._suspects.ranges, watermark)
        begun = {offset: at for offset, at in self._suspects_begun.items() if offset >= watermark}
        if ours and self._announced:
            announced = union([*announced, *of(self._announced)])
            begun.update((offset, at) for offset, at in self._announced.items() if at)
        tries = {offset: entry for offset, entry in self._tries.items() if offset >= watermark}
        return watermark, Memory(announced, list(self._done_ranges(watermark)), tries, begun)

    def _done_before(self, offset: int) -> bool:
        if offset >= self._prior.end:  # read again past all that an earlier owner did: forget it
            self._prior = Ranges(())
            return False
        return offset in self._prior

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
        yield from from_on(self._prior.ranges, self._top)
