"""Letters of connections that this store does not know: they are another store's, and stay in the topic.

Several installations may read one dead-letter topic: each takes the letters of its own connections. Where the first
letter of a stranger lies is remembered, so that a connection that is made later under that name gets its letters.
"""

from __future__ import annotations

from collections.abc import Container, Iterable

from sqlalchemy import Connection, delete, select

from dead_letter.letter.letter import FOREIGN, Letter
from dead_letter.store.tables import STRANGERS
from topics.names import slug_of
from topics.store import inserting


def is_stranger(letter: Letter, known: Container[str] | None) -> bool:
    """Whether the letter is another store's; ``known``: the slugs of this one, None when it takes everything.

    What did not come from an events topic of ours has no store: whoever reads it keeps it.
    """
    slug = slug_of(letter.record.partition.topic)
    return known is not None and letter.verdict != FOREIGN and slug is not None and slug not in known


def remember(connection: Connection, places: Iterable[tuple[str, int, int]]) -> None:
    """Slug, partition and offset of letters that were passed; the first of each is kept."""
    for slug, partition, offset in places:
        statement = inserting(connection, STRANGERS).values(connection=slug, partition=partition, first_offset=offset)
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=["connection", "partition"],
                set_={"first_offset": offset},
                where=STRANGERS.c.first_offset > offset,
            )
        )


def read(connection: Connection) -> list[tuple[str, int, int]]:
    return [tuple(row) for row in connection.execute(select(STRANGERS).order_by(STRANGERS.c.connection))]


def forget(connection: Connection, slugs: Iterable[str]) -> None:
    connection.execute(delete(STRANGERS).where(STRANGERS.c.connection.in_(list(slugs))))
