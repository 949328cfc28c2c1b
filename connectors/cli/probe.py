"""Asks the SaaS of one connection whether it is there."""

from __future__ import annotations

from collections.abc import Mapping

from connectors import registry
from connectors.connections.table import Connection
from connectors.connections.tokens import ConnectionTokens
from connectors.contract import Delivered, Down, Throttled


async def probe(
    connection: Connection, secrets: Mapping[str, str], tokens: ConnectionTokens | None
) -> tuple[bool, str]:
    """Whether it answers and takes the credentials, and what to tell a person."""
    connector = registry.build(connection, secrets, tokens=tokens)
    try:
        verdict = await connector.probe()
    finally:
        await connector.close()
    match verdict:
        case Delivered():
            return True, "it answers, and the credentials are good"
        case Throttled(after=after, reason=reason):
            return True, f"it answers, and asks to wait {after:g} s: {reason}"
        case Down(reason=reason):
            return False, reason
