"""Says what becomes of the secrets that vendors replace; ``connectors/connections/tokens.py`` keeps them."""

from __future__ import annotations

from connectors.connections.store import Connection
from topics.errors import StoreUnavailable
from worker.log_events import logger


class SecretLog:
    """A ``Listener``."""

    def kept(self, connection: Connection, secret: str) -> None:
        logger().info("secret.kept", connection=connection.slug, secret=secret)

    def not_kept(self, connection: Connection, secret: str, error: Exception, retry_in: float | None) -> None:
        say = logger().warning if isinstance(error, StoreUnavailable) else logger().error
        again = {} if retry_in is None else {"retry_in": retry_in}
        say("secret.not_kept", connection=connection.slug, secret=secret, error=str(error), **again)
