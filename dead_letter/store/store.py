"""The letter store: every letter, searchable, and what operators did to each. SQLite or PostgreSQL.

It holds nothing that cannot be had again except the operators' own doings: the letters themselves stay in
``writeback.dead-letter``, and ``dead_letter/store/archive.py`` fills an empty store from there.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Engine, func, insert, select, tuple_, update
from sqlalchemy.exc import SQLAlchemyError

from dead_letter.errors import LetterChanged, LetterRefused, UnknownLetter
from dead_letter.letter.letter import Letter, raw
from dead_letter.store import strangers
from dead_letter.store.claims import Claims, changing, holders, is_free, is_held
from dead_letter.store.filters import EVERYTHING, Filter
from dead_letter.store.inserts import IDS_AT_ONCE, insert_letters, parts, set_mark
from dead_letter.store.parking import Parking
from dead_letter.store.rows import BODY, SUMMARY, Copying, Edit, Stored, Summary, to_row, to_stored, to_summary
from dead_letter.store.strangers import is_stranger
from dead_letter.store.tables import ACTIONS, LETTERS, MARKS
from topics.log import Partition, Position, Record, Unreadable
from topics.store import reading


class Arrival(NamedTuple):
    """A letter, and the record of ``writeback.dead-letter`` it came in."""

    letter: Letter
    record: Record


@dataclass(frozen=True, slots=True)
class Group:
    """Letters of one fingerprint; ``sample`` is the newest one's reason."""

    fingerprint: str
    connection: str
    verdict: str
    count: int
    first_seen: float
    last_seen: float
    sample: str


@dataclass(frozen=True, slots=True)
class Action:
    time: float
    who: str
    what: str
    detail: dict[str, Any]


class LetterStore:
    """Synchronous and thread-safe. Raises ``topics.errors.StoreUnavailable`` while the database cannot be reached now.

    ``who`` and ``now`` of every change go to the audit trail, in the transaction of the change. Whatever changes a
    letter's state compares it in the same statement. ``parking``: the parked keys, ``claims``: which replay has which
    letters, in the same database. ``known``: the slugs of the connections whose letters are this store's; without it
    every letter is.
    """

    def __init__(self, engine: Engine, known: Callable[[], Container[str]] | None = None) -> None:
        self.parking = Parking(engine)
        self.claims = Claims(engine)
        self._engine = engine
        self._known = known

    # -- inserting ----------------------------------------------------------------------------------------------------

    def save(self, letter: Letter) -> bool:
        """Keep a letter that came by no topic; False when it is there already."""
        with _refusing(), self._writing() as connection:
            return insert_letters(connection, [to_row(letter, None)]) == 1

    def save_batch(self, arrivals: Sequence[Arrival]) -> int:
        """Keep letters of the topic, in its order; how many were new.

        Again is the same as once: by the letter's id (a crash writes a letter twice), and by its place in the topic.
        The marks go with them, so the records must follow the marks without a gap. Letters of connections that are
        another store's are passed. Raises ``LetterRefused``, and keeps none, when the database does not take one.
        """
        known = self._known() if self._known is not None else None
        mine = [arrival for arrival in arrivals if not is_stranger(arrival.letter, known)]
        passed = [arrival for arrival in arrivals if is_stranger(arrival.letter, known)]
        with _refusing(), self._writing() as connection:
            new = insert_letters(connection, [to_row(letter, record) for letter, record in mine])
            strangers.remember(
                connection,
                ((letter.connection, record.partition.number, record.offset) for letter, record in passed),
            )
            ends: dict[int, int] = {}
            for _, record in arrivals:
                ends[record.partition.number] = max(ends.get(record.partition.number, 0), record.offset + 1)
            for number, end in ends.items():
                set_mark(connection, number, end, backwards=False)
        return new

    def skip(self, found: Unreadable) -> None:
        """Go on behind what cannot be read in the topic; its bytes, where there are any, become a letter."""
        with _refusing(), self._writing() as connection:
            if found.record is not None:
                insert_letters(connection, [to_row(raw(found.record, found.reason), found.record)])
            set_mark(connection, found.partition.number, found.behind, backwards=False)

    def marks(self) -> dict[int, int]:
        """Per partition of the dead-letter topic, the first offset that may be missing here."""
        with self._reading() as connection:
            return {row.partition: row.next_offset for row in connection.execute(select(MARKS))}

    def strangers(self) -> builtins.list[str]:
        """The slugs of connections that have letters, and are not this store's."""
        with self._reading() as connection:
            slugs = {slug for slug, _, _ in strangers.read(connection)}
        known = self._known() if self._known is not None else slugs
        return sorted(slug for slug in slugs if slug not in known)

    def missed(self) -> dict[int, int]:
        """Per partition of the dead-letter topic the first letter that was a stranger's, and is this store's now."""
        known = self._known() if self._known is not None else None
        first: dict[int, int] = {}
        with self._reading() as connection:
            for slug, partition, offset in strangers.read(connection):
                if known is None or slug in known:
                    first[partition] = min(offset, first.get(partition, offset))
        return first

    def caught_up(self) -> None:
        """What was missed is here now."""
        with self._writing() as connection:
            slugs = {slug for slug, _, _ in strangers.read(connection)}
            known = self._known() if self._known is not None else slugs
            strangers.forget(connection, (slug for slug in slugs if slug in known))

    def rewind(self, partition: int) -> None:
        """Begin that partition again: its topic is another one than it was."""
        with self._writing() as connection:
            set_mark(connection, partition, 0, backwards=True)

    # -- looking ------------------------------------------------------------------------------------------------------

    def list(
        self, filters: Filter = EVERYTHING, *, limit: int = 50, before: str | None = None
    ) -> builtins.list[Summary]:
        """The newest first; ``before``: the id that the last page ended with."""
        query = select(*SUMMARY).where(*filters.clauses()).order_by(LETTERS.c.row.desc()).limit(limit)
        if before is not None:
            query = query.where(LETTERS.c.row < self._row_of(before).row)
        with self._reading() as connection:
            return [to_summary(row) for row in connection.execute(query)]

    def count(self, filters: Filter = EVERYTHING) -> int:
        with self._reading() as connection:
            return connection.scalar(select(func.count()).select_from(LETTERS).where(*filters.clauses())) or 0

    def groups(self, filters: Filter = EVERYTHING, *, limit: int = 50) -> builtins.list[Group]:
        """The most numerous first."""
        columns = LETTERS.c
        counted = (
            select(
                func.count().label("count"),
                func.min(columns.time).label("first_seen"),
                func.max(columns.time).label("last_seen"),
                func.max(columns.row).label("newest"),
            )
            .where(*filters.clauses())
            .group_by(columns.fingerprint)
            .subquery()
        )
        query = (
            select(columns.fingerprint, columns.connection, columns.verdict, columns.reason.label("sample"), counted)
            .join(counted, columns.row == counted.c.newest)
            .order_by(counted.c.count.desc(), columns.fingerprint)
            .limit(limit)
        )
        with self._reading() as connection:
            return [
                Group(**{name: getattr(row, name) for name in Group.__dataclass_fields__})
                for row in connection.execute(query)
            ]

    def get(self, prefix: str) -> Stored:
        """The letter of that id, or the only one whose id begins so. Raises ``UnknownLetter``."""
        return self.load([self._row_of(prefix).id])[0]

    def load(self, ids: Sequence[str]) -> builtins.list[Stored]:
        """The letters of these ids, bytes and all, in this order; unknown ones are left out."""
        found: dict[str, Stored] = {}
        with self._reading() as connection:
            for part in parts(ids):
                query = select(*SUMMARY, *BODY).where(LETTERS.c.id.in_(part))
                found.update((row.id, to_stored(row)) for row in connection.execute(query))
        return [found[known] for known in ids if known in found]

    def in_order(self, filters: Filter) -> Iterator[Summary]:
        """All that match, by topic, partition and offset of their events, read page by page."""
        place = (LETTERS.c.topic, LETTERS.c.partition, LETTERS.c.offset, LETTERS.c.row)
        last: tuple[Any, ...] | None = None
        while True:
            query = select(*SUMMARY).where(*filters.clauses()).order_by(*place).limit(IDS_AT_ONCE)
            if last is not None:
                query = query.where(tuple_(*place) > last)
            with self._reading() as connection:
                page = [to_summary(row) for row in connection.execute(query)]
            yield from page
            if len(page) < IDS_AT_ONCE:
                return
            last = (page[-1].topic, page[-1].partition, page[-1].offset, page[-1].row)

    def again(self, letters: Sequence[str]) -> builtins.list[Summary]:
        """These letters as they are in the store now."""
        found: builtins.list[Summary] = []
        with self._reading() as connection:
            for part in parts(letters):
                found += [to_summary(row) for row in connection.execute(select(*SUMMARY).where(_among(part)))]
        return found

    def same_records(self, hashes: Sequence[str]) -> builtins.list[Summary]:
        """All letters, whatever their state, of these records (``Summary.record_hash``)."""
        found: builtins.list[Summary] = []
        with self._reading() as connection:
            for part in parts(hashes):
                query = select(*SUMMARY).where(LETTERS.c.record_hash.in_(part))
                found += [to_summary(row) for row in connection.execute(query)]
        return found

    def trail(self, letter: str) -> builtins.list[Action]:
        """What operators did to the letter, in the order they did it."""
        query = select(ACTIONS).where(ACTIONS.c.letter == letter).order_by(ACTIONS.c.row)
        with self._reading() as connection:
            return [Action(row.time, row.who, row.what, row.detail) for row in connection.execute(query)]

    def copies_of(self, letters: Sequence[str]) -> dict[str, builtins.list[Position]]:
        """Where the replays of these have put their events, as the trail has it."""
        found: dict[str, builtins.list[Position]] = {}
        with self._reading() as connection:
            for part in parts(letters):
                query = select(ACTIONS.c.letter, ACTIONS.c.detail)
                query = query.where(ACTIONS.c.letter.in_(part), ACTIONS.c.what == "replay")
                for letter, said in connection.execute(query):
                    place = Partition(said["topic"], said["partition"])
                    found.setdefault(letter, []).append(Position(place, said["offset"]))
        return found

    # -- changing -----------------------------------------------------------------------------------------------------

    def edit(self, letter: str, edit: Edit | None, *, seen: Edit | None, who: str, now: float) -> None:
        """What a replay sends instead of the original, which stays as it is; None takes an earlier edit back.

        ``seen``: the earlier edit that this one was made on. Raises ``LetterChanged`` when there is another by now,
        when the letter is not open any more, and while it is being replayed; ``UnknownLetter`` when it was purged.
        """
        mine = LETTERS.c.id == letter
        with changing(self._engine) as connection:
            row = connection.execute(select(LETTERS.c.state, LETTERS.c.edited).where(mine)).one_or_none()
            if row is None:
                raise UnknownLetter(f"letter {letter} was purged meanwhile")
            holder = holders(connection, [letter]).get(letter)
            if holder is not None:
                raise LetterChanged(f"letter {letter}: {holder}; edit it when that has ended, if it is open then")
            if row.state != "open":
                raise LetterChanged(f"letter {letter} is {row.state}; only an open one can be edited")
            if row.edited != (seen and asdict(seen)):
                raise LetterChanged(f"letter {letter} was edited meanwhile: writeback dead-letters show {letter[:12]}")
            connection.execute(update(LETTERS).where(mine).values(edited=edit and asdict(edit)))
            _write_down(connection, [letter], "edit", {"before": row.edited, "after": edit and asdict(edit)}, who, now)

    def begin_copying(self, copies: Mapping[str, Copying], *, epoch: int) -> set[str]:
        """Said before a copy is sent, so that a crash between the copy and its mark can be cleared up.

        Which of them may be sent: those that are open, and that the replay of this epoch has.
        """
        begun = set()
        with changing(self._engine) as connection:
            for letter, copying in copies.items():
                mine = (LETTERS.c.id == letter) & (LETTERS.c.state == "open") & is_held(connection, epoch)
                if connection.execute(update(LETTERS).where(mine).values(copying=asdict(copying))).rowcount:
                    begun.add(letter)
        return begun

    def mark_replayed(
        self, details: Mapping[str, Mapping[str, Any]], *, epoch: int, who: str, now: float
    ) -> builtins.list[str]:
        """Said after the log has acknowledged the copies; ``details`` per letter go to the trail.

        Returns those that stay as they are, though their copies are out: the time of this replay was up before it said
        this, and somebody has discarded them since, or replays them.
        """
        values = {"state": "replayed", "copying": None, "replays": LETTERS.c.replays + 1}
        with changing(self._engine) as connection:
            for letter, detail in details.items():
                mine = (LETTERS.c.id == letter) & (LETTERS.c.state == "open") & (LETTERS.c.claimed_by == epoch)
                connection.execute(update(LETTERS).where(mine).values(values))
                _write_down(connection, [letter], "replay", detail, who, now)
            query = select(LETTERS.c.id).where(LETTERS.c.state != "replayed")
            return [one for part in parts(list(details)) for one in connection.scalars(query.where(_among(part)))]

    def discard(self, letters: Sequence[str], reason: str, *, who: str, now: float) -> builtins.list[str]:
        """Give these up; they stay readable. Only open ones that no replay has can be; returns those that were."""
        done: builtins.list[str] = []
        with changing(self._engine) as connection:
            for part in parts(letters):
                free = _among(part) & (LETTERS.c.state == "open") & is_free(connection)
                discarding = update(LETTERS).where(free).values(state="discarded").returning(LETTERS.c.id)
                given_up = set(connection.scalars(discarding))
                _write_down(
                    connection,
                    [letter for letter in part if letter in given_up],
                    "discard",
                    {"reason": reason},
                    who,
                    now,
                )
                done += [letter for letter in part if letter in given_up]
        return done

    def note(self, letter: str, text: str, *, who: str, now: float) -> None:
        """Raises ``UnknownLetter`` when it was purged: nothing would ever delete the note of a letter that is gone."""
        with changing(self._engine) as connection:
            if connection.scalar(select(LETTERS.c.id).where(LETTERS.c.id == letter)) is None:
                raise UnknownLetter(f"letter {letter} was purged meanwhile")
            _write_down(connection, [letter], "note", {"text": text}, who, now)

    # -- inside -------------------------------------------------------------------------------------------------------

    def _row_of(self, prefix: str) -> Summary:
        query = select(*SUMMARY).where(LETTERS.c.id.startswith(prefix, autoescape=True)).order_by(LETTERS.c.id).limit(6)
        with self._reading() as connection:
            found = [to_summary(row) for row in connection.execute(query)]
        if not prefix or not found:
            raise UnknownLetter(f"no dead letter {prefix!r}; `writeback dead-letters list` shows what there is")
        if len(found) > 1 and found[0].id != prefix:
            several = ", ".join(summary.id for summary in found[:5])
            raise UnknownLetter(f"{prefix!r} fits several letters ({several}, ...); give more of the id")
        return found[0]

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with self._engine.begin() as connection:
            yield connection

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with reading(self._engine) as connection:
            yield connection


@contextmanager
def _refusing() -> Iterator[None]:
    """A database that is away raises ``StoreUnavailable``; all else is about what was handed in."""
    try:
        yield
    except (SQLAlchemyError, ValueError, TypeError, OverflowError) as error:
        raise LetterRefused(f"the store does not take it: {str(error)[:500]}") from error


def _among(letters: Sequence[str]) -> ColumnElement[bool]:
    return LETTERS.c.id.in_(letters)


def _write_down(  # noqa: PLR0917 - a row of the trail, in the order of its columns
    connection: Connection, letters: Sequence[str], what: str, detail: Mapping[str, Any], who: str, now: float
) -> None:
    rows = [{"letter": letter, "time": now, "who": who, "what": what, "detail": dict(detail)} for letter in letters]
    if rows:
        connection.execute(insert(ACTIONS), rows)
