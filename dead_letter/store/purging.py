"""Deletes letters that are done with: an archive of what people once sent is no place for their data.

A letter goes when it was replayed or discarded, nothing was done to it since, and nobody needs it any more:

- its record has left ``writeback.dead-letter``, from which it could come back as an open letter;
- no parked key names it;
- no other letter tells on what became of its event; of such a chain the last goes first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sqlalchemy import ColumnElement, Connection, Engine, and_, case, delete, exists, false, func, or_, select

from dead_letter.store.claims import changing, is_free
from dead_letter.store.filters import Filter
from dead_letter.store.inserts import parts
from dead_letter.store.parking import PARKED
from dead_letter.store.tables import ACTIONS, LETTERS
from topics.store import reading

AT_ONCE = 1_000
"""Letters that one transaction deletes: whoever else changes letters waits for it."""
GOES = "goes"
WHY = {
    "young": "ended later than that, or were edited or noted since",
    "claimed": "are being replayed",
    "in the topic": "still lie in the topic of letters (WRITEBACK_LETTERS_RETENTION says for how long)",
    "parked": "have later events waiting behind them",
    "followed": "have a later letter of the same event that stays",
}
"""Why a letter that has ended stays, and how that is told."""


class Purging:
    """Synchronous; raises ``StoreUnavailable``.

    ``before``: what ended since then stays (seconds since the epoch). ``there``: of each partition of the topic of
    letters the first offset and the end.
    """

    def __init__(self, engine: Engine, filters: Filter, *, before: float, there: Mapping[int, tuple[int, int]]) -> None:
        self._engine = engine
        self._filters = filters
        self._before = before
        self._there = there

    def plan(self) -> dict[str, int]:
        """How many would go (``GOES``), and how many that have ended stay, by why (the keys of ``WHY``)."""
        with reading(self._engine) as connection:
            stays = self._stays(connection)
            fate = case(*((clause, why) for why, clause in stays.items()), else_=GOES).label("fate")
            query = select(fate, func.count()).where(self._ended()).group_by(fate)
            return {str(what): int(count) for what, count in connection.execute(query)}

    def run(self) -> Iterator[int]:
        """Deletes, and says how many each time. What has changed since the plan is looked at again."""
        while True:
            with changing(self._engine) as connection:
                goes = and_(self._ended(), *(~clause for clause in self._stays(connection).values()))
                ids = list(connection.scalars(select(LETTERS.c.id).where(goes).limit(AT_ONCE)))
                for part in parts(ids):
                    connection.execute(delete(ACTIONS).where(ACTIONS.c.letter.in_(part)))
                    connection.execute(delete(LETTERS).where(LETTERS.c.id.in_(part)))
            if not ids:
                return
            yield len(ids)

    def _ended(self) -> ColumnElement[bool]:
        return and_(LETTERS.c.state.in_(("replayed", "discarded")), *self._filters.clauses())

    def _stays(self, connection: Connection) -> dict[str, ColumnElement[bool]]:
        """One clause for each of ``WHY``."""
        touched = exists().where(ACTIONS.c.letter == LETTERS.c.id, ACTIONS.c.time >= self._before)
        lies = (
            and_(LETTERS.c.letter_partition == number, LETTERS.c.letter_offset.between(first, end - 1))
            for number, (first, end) in self._there.items()
        )
        later = LETTERS.alias("later")
        return {
            "young": or_(LETTERS.c.time >= self._before, touched),
            "claimed": ~is_free(connection),
            "in the topic": func.coalesce(or_(false(), *lies), false()),
            "parked": exists().where(or_(PARKED.c.first == LETTERS.c.id, PARKED.c.last == LETTERS.c.id)),
            "followed": exists().where(later.c.replay_of == LETTERS.c.id),
        }
