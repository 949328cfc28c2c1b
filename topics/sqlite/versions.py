"""The versions of the embedded log's file, and the steps that lead from each to the next.

To change a table, change it in ``topics/sqlite/schema.py`` for new files, and append here the step that changes an
older file in the same way. A process of an older release may have the file open meanwhile, so a step may only add.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy import Connection

Step = Callable[[Connection], None]

FIRST = 1
STEPS: Sequence[Step] = ()
"""``STEPS[0]`` makes version 2 of version 1, and so on. Each runs inside the transaction that changes the version."""


def latest() -> int:
    """The version that this release writes, kept in the file as SQLite's ``user_version``."""
    return FIRST + len(STEPS)


def upgrade(connection: Connection, version: int) -> None:
    for step in STEPS[version - FIRST :]:
        step(connection)
