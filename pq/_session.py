"""What a process that uses pq holds: the log, one producer, its inbox, its connections, a loop for reads."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

from connectors import registry
from connectors.connections.store import Connection, Connections
from connectors.contract import Connector
from pq._background import Background
from pq._channel import Channel
from pq._inbox import Inbox
from pq._pending import why_pending
from pq._refreshing import Refreshing, refresh_request
from pq._scripts import ScriptStates
from pq.errors import NotSent
from pq.receipt import Receipt
from topics.log import Log, Position
from topics.names import DEFAULT

T = TypeVar("T")

GOODBYE_S = 5.0
FLUSH_S = 120.0
"""As long as the Kafka client itself goes on trying."""

_LOGGER = logging.getLogger("pq")


class Session:
    """Opened on the first ``connect``, flushed and closed when the process ends. Thread-safe."""

    def __init__(
        self,
        log: Log,
        connections: Connections,
        states: ScriptStates,
        *,
        group: str = DEFAULT.worker_group,
        source: str = "",
    ) -> None:
        self.log = log
        self.connections = connections
        self.states = states
        self.source = source or f"pq:{Path(sys.argv[0]).name or 'interactive'}"
        self.group = group
        log.ensure_topics(log.names.system_topics)
        self.inbox = Inbox(log)
        self.producer = log.producer(name="pq")
        self._channels: dict[str, Channel] = {}
        self._connectors: dict[tuple[str, int], Connector] = {}
        self._background = Background()
        self._lock = threading.RLock()
        self._failures: list[str] = []

    def channel(self, name: str | int) -> Channel:
        """Raises ``UnknownConnection``, which lists the names."""
        with self._lock:
            connection = self.connections.get(name)
            known = self._channels.get(connection.slug)
            if known is None or known.connection.revision != connection.revision:
                self.log.ensure_topics([self.log.names.events_spec(connection.slug, connection.partitions)])
                topic = self.log.names.events_topic(connection.slug)
                known = Channel(self, connection, registry.build_to_ask(self.connections, connection), topic)
                self._channels[connection.slug] = known
            return known

    def refresh(self, name: str | int, objects: Sequence[str] | None, *, full: bool, wait_s: float) -> Receipt:
        """Ask for a refresh that finds what this process has written on that connection so far.

        The receipt looks for ``wait_s`` seconds. Raises ``UnknownConnection``, ``LogUnavailable``.
        """
        with self._lock:
            connection = self.connections.get(name)
            channel = self._channels.get(connection.slug)
        if channel is not None:
            self.producer.flush(FLUSH_S)  # where the writes lie is known when the log has them
        request = refresh_request(
            connection.slug,
            objects,
            full=full,
            after=channel.own_writes if channel else {},
            source=self.source,
            reply_to=self.inbox.partition,
        )
        return Refreshing(self, connection).send(request, wait_s)

    def update_connector(self, name: str | int) -> str:
        """Use the newest version of the connector; says which that is. Raises ``BadConnection``."""
        old = self.connections.get(name)
        newest = registry.manifest(old.connector).version
        if newest == old.version:
            return f"{old.name} uses {old.connector} {newest}, the newest version"
        registry.check(old.connector, newest, old.settings, sorted(self.connections.secret_names(old)))
        self.connections.update(old.id, version=newest)
        return f"{old.name} uses {old.connector} {newest} (it was {old.version})"

    def get_state(self, script: str) -> Any:
        return self.states.get(script)

    def set_state(self, script: str, value: Any) -> None:
        self.states.set(script, value, time.time())  # noqa: TID251 - the edge: a script's own clock

    def list_connections(self) -> list[Connection]:
        return self.connections.list()

    def ask(self, connection: Connection, question: Callable[[Connector], Coroutine[Any, Any, T]]) -> T:
        """Put a question to the vendor and wait for the answer."""
        return self._background.run(self._ask(connection, question))

    async def _ask(self, connection: Connection, question: Callable[[Connector], Coroutine[Any, Any, T]]) -> T:
        which = (connection.slug, connection.revision)
        connector = self._connectors.get(which)
        if connector is None:
            secrets = self.connections.secrets(connection)
            connector = registry.build(connection, secrets, tokens=self.connections.tokens(connection, secrets))
            self._connectors[which] = connector
        return await question(connector)

    def why_pending(self, connection_id: int, sent: Future[Position]) -> str:
        """Why an outcome has not come, as far as it can be seen from here."""
        return why_pending(self.log, self.connections, self.group, connection_id, sent)

    def say(self, message: str, *values: object) -> None:
        _LOGGER.warning(message, *values)

    def not_sent(self, error: BaseException) -> None:
        self._failures.append(str(error))

    def flush(self, seconds: float | None = None) -> None:
        """Wait until the log has everything.

        Raises ``LogUnavailable`` when the time is up, and ``NotSent``, once, for events that it did not take.
        """
        self.producer.flush(seconds)
        failures, self._failures = self._failures, []
        if failures:
            count = f"{len(failures):,} events were" if len(failures) > 1 else "1 event was"
            raise NotSent(f"{count} not taken by the log; the first because: {failures[0]}")

    def close(self) -> None:
        """Release everything. Whoever wants to know that all was taken calls ``flush`` first."""
        self._background.close([connector.close() for connector in self._connectors.values()])
        self.inbox.close()
        self.producer.close(GOODBYE_S)
