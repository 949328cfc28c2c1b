"""The warehouse of ``tests/topics/outbox``, a log, and relays between them."""

from __future__ import annotations

from tests.topics.outbox.conftest import postgres_warehouse, warehouse

__all__ = ["postgres_warehouse", "warehouse"]
