"""Ports for what tests start."""

from __future__ import annotations

import socket


def free_port() -> int:
    """One of this machine's own address that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
