"""The store: the SQL database (SQLite or PostgreSQL) in which each room keeps its own tables."""

from topics.store.engine import inserting, open_store, reading

__all__ = ["inserting", "open_store", "reading"]
