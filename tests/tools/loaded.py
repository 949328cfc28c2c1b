"""What the server of `tests/tools/forked.py` has imported: every command, and what commands import when they run."""

from __future__ import annotations

import gc
from importlib import import_module

import writeback

WHEN_IT_RUNS = (
    "alembic.command",
    "alembic.config",
    "connectors.connections.store",
    "connectors.registry",
    "dead_letter.cli.replay",
    "dead_letter.replay.replay",
    "dead_letter.store.archive",
    "psycopg",
    "sqlalchemy.dialects.postgresql.psycopg",
    "sqlalchemy.dialects.sqlite.pysqlite",
    "topics.kafka.log",
    "topics.sqlite.log",
)

for _section in writeback.SECTIONS.values():
    for _where, _ in _section.values():
        import_module(_where.partition(":")[0])
for _name in WHEN_IT_RUNS:
    import_module(_name)
gc.collect()
gc.freeze()  # a collection in a child touches no page that it shares with the server
