"""Makes the plan of a run: reads source and snapshot side by side, by key, and writes down what differs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from topics.errors import BadValue
from worker.syncs.plan.file import Line
from worker.syncs.snapshot.blocks import BLOCK, Block, Rows
from worker.syncs.snapshot.compare import Change, Fields, Kind, compare
from worker.syncs.source.feed import Feed
from worker.syncs.source.ordering import Key, Row, less
from worker.syncs.source.shape import Refused, Shape

PIECE = 4 * BLOCK
"""How many rows of a block's range of keys are in memory at once."""
EXAMPLES = 5


class Snapshot(Protocol):
    def index(self) -> list[Block]: ...
    def rows(self, position: int) -> Rows: ...


class Dead(Protocol):
    def dead_count(self) -> int: ...
    def dead(self, keys: Sequence[Key]) -> dict[Key, Kind]: ...
    def dead_removals(self) -> list[Change]: ...


@dataclass
class Counts:
    """The totals of a plan. ``nulls``: by field, in how many rows it becomes empty. ``examples``: the first changes."""

    read: int = 0
    unchanged: int = 0
    held: int = 0
    refused: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    fields: Counter[str] = field(default_factory=Counter)
    nulls: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[Change]] = field(default_factory=dict)
    reasons: list[Refused] = field(default_factory=list)

    def told(self) -> dict[str, Any]:
        """The totals as a run stores them."""
        kinds = self.kinds
        return {
            "read": self.read,
            "unchanged": self.unchanged,
            "held": self.held,
            "refused": self.refused,
            "added": kinds["added"] + kinds["full"],
            "changed": kinds["changed"],
            "removed": kinds["removed"],
            "nulls": dict(self.nulls),
        }

    def note(self, change: Change) -> None:
        self.kinds[change.kind] += 1
        if change.kind == "changed":
            self.fields.update(change.names or ())
            emptied = [name for name, old in change.old.items() if old is not None and change.row.get(name) is None]
            self.nulls.update(emptied)
        shown = self.examples.setdefault(change.kind, [])
        if len(shown) < EXAMPLES:
            shown.append(change)

    def refuse(self, refused: Refused) -> None:
        self.refused += 1
        if len(self.reasons) < EXAMPLES:
            self.reasons.append(refused)


@dataclass
class Maker:
    """Merges the source and the snapshot, both in the order of their keys, into the lines of a plan.

    ``record``: gives the key of the destination's record that a change is for.
    ``failed``: send rows again whose event is a dead letter.
    ``after``: where a run of mode full that was cut off goes on; rows up to this key were sent.

    In mode cursor the source returns only some of the rows, so a row that it does not return is not removed.
    """

    shape: Shape
    feed: Feed
    snapshot: Snapshot
    dead: Dead
    counts: Counts
    mode: str
    record: Callable[[Change], str]
    failed: bool = False
    after: Key | None = None
    _gone: dict[Key, Change] = field(default_factory=dict)

    def lines(self) -> Iterator[Line]:
        """The lines of the plan. ``counts`` is complete when they have been read to the end."""
        made = self._everything() if self.mode == "full" else self._compared()
        for line in made:
            for change in line.changes:
                self.counts.note(change)
            yield line
        self.counts.read = self.feed.read

    def _everything(self) -> Iterator[Line]:
        if self.after is not None:
            over = False
            while not over:
                _, _, over = self.feed.take(self.after, BLOCK)
        done = False
        while not done:
            rows, keys, done = self.feed.take(None, BLOCK)
            yield Line(None, None, [Change("full", key, row) for key, row in self._fields(rows, keys)])

    def _compared(self) -> Iterator[Line]:
        index = self.snapshot.index()
        any_dead = self.dead.dead_count() > 0
        removals = self.dead.dead_removals() if self.failed and self.mode == "mirror" else []
        self._gone = {change.key: change for change in removals}
        for block in index:
            yield from self._block(block, any_dead=any_dead, is_last=block is index[-1])
        done = False
        while not done:
            rows, keys, done = self.feed.take(None, BLOCK)
            if rows:
                self._came_back(rows, keys)
                refused = self.counts.refused
                compared = compare({}, self._fields(rows, keys), dead={}, failed=False)
                clean = self.counts.refused == refused and self.mode != "cursor"
                yield Line(None, self.shape.digest(rows) if clean else None, compared.changes)
        if self._gone:
            yield Line(None, None, list(self._gone.values()))

    def _came_back(self, rows: Sequence[Row], keys: Sequence[Key]) -> None:
        """Do not repeat a failed deletion when these rows have the record again, under the same key or another."""
        if not self._gone:
            return
        here, records = set(keys), set()
        for row, key in zip(rows, keys, strict=True):
            with suppress(BadValue):  # a row that no event can be made of: ``_fields`` counts and reports it
                records.add(self.record(Change("removed", key, self.shape.fields_of(row))))
        for key, change in list(self._gone.items()):
            if key in here or self.record(change) in records:
                del self._gone[key]

    def _block(self, block: Block, *, any_dead: bool, is_last: bool) -> Iterator[Line]:
        """The lines of one block. A range of keys that now has far more rows is compared piece by piece."""
        old: Rows | None = None
        first, done = True, False
        while not done:
            rows, keys, done = self.feed.take(block.last, PIECE)
            if done and is_last and first and len(rows) < BLOCK:  # fill up the last block
                more, their_keys, _ = self.feed.take(None, BLOCK - len(rows))
                rows, keys = rows + more, keys + their_keys
            if self.mode == "cursor" and not rows:
                return
            whole = first and done and self.mode != "cursor"
            digest = self.shape.digest(rows) if whole else None
            if whole and digest == block.digest and not (self.failed and any_dead):
                self.counts.unchanged += len(rows)
                return
            if old is None:
                old = self.snapshot.rows(block.position)
            refused = self.counts.refused
            changes = self._piece(old, rows, keys, done=done, any_dead=any_dead)
            clean = (
                digest if self.counts.refused == refused else None
            )  # without a digest, the refused row is checked in each run
            if changes or clean != block.digest:
                yield Line(block.position, clean, changes)
            first = False

    def _piece(self, old: Rows, rows: list[Row], keys: list[Key], *, done: bool, any_dead: bool) -> list[Change]:
        self._came_back(rows, keys)
        dead = self.dead.dead(keys) if any_dead and keys else {}
        compared = compare(old, self._fields(rows, keys), dead=dead, failed=self.failed)
        self.counts.unchanged += compared.unchanged
        self.counts.held += compared.held
        if self.mode == "cursor":
            return compared.changes
        here = set(keys)
        covered = [key for key in old if done or not less(keys[-1], key)]
        gone = [Change("removed", key, old[key]) for key in covered if key not in here]
        for key in covered:
            del old[key]
        return compared.changes + gone

    def _fields(self, rows: Sequence[Row], keys: Sequence[Key]) -> Iterator[tuple[Key, Fields]]:
        for row, key in zip(rows, keys, strict=True):
            try:
                yield key, self.shape.fields_of(row)
            except BadValue as error:
                self.counts.refuse(Refused(key, str(error)))
