"""Fixtures for every room: the servers that a test may ask for by name (``kafka``, ``postgres``)."""

from __future__ import annotations

import signal
from importlib.util import find_spec

import pytest

pytest_plugins = [
    name
    for name in ("tests.kafka_broker", "tests.postgres_server", "tests.mariadb_server", "tests.warehouses")
    if find_spec(name) is not None
]


def pytest_configure(config: pytest.Config) -> None:
    """What the whole run needs."""
    # A shell starts `make test &` with Ctrl-C ignored, and every process that a test starts would inherit that.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # Warnings are errors; kafka-python gives this one when it is imported on Python 3.11 and 3.12.
    config.addinivalue_line("filterwarnings", "ignore:(read_text|open_text) is deprecated:DeprecationWarning")
    # A connection that it gives up while connecting leaves its socket to the garbage collector, in whatever test runs.
    config.addinivalue_line("filterwarnings", "ignore:unclosed <(socket.socket|ssl.SSLSocket):ResourceWarning")
