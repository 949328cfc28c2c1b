"""Fixtures for every room: the servers that a test may ask for by name (``kafka``, ``postgres``)."""

from __future__ import annotations

from importlib.util import find_spec

pytest_plugins = [name for name in ("tests.kafka_broker", "tests.postgres_server") if find_spec(name) is not None]
