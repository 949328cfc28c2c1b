"""Sends an alert's messages as events of Writeback itself, so that they have its order, retries and dead letters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from sqlalchemy import Engine

from connectors import registry
from connectors.capabilities import lacking
from connectors.connections.standing import Standing
from connectors.connections.store import Connection, Connections
from topics.errors import RecordRefused
from topics.event import exact_json
from topics.event.codec import Encoded, Stamp
from topics.event.event import NO_OPTIONS, Operation, now_text
from topics.log import Log, Producer
from topics.settings import Settings
from worker.alerts.definition import Address, Alert, source_of
from worker.alerts.errors import BadAlert
from worker.alerts.state import Thread
from worker.alerts.wording import filled, pieces

SILENT = frozenset({"down", "held", "paused", "quarantined", "no worker"})
"""States in which a connection delivers nothing now."""
ANSWER_S = 30.0


@dataclass(frozen=True, slots=True)
class Message:
    """One event for one address. ``thread``: the texts that are posted in its thread once it is delivered."""

    id: str
    address: Address
    connection: Connection
    object: str
    operation: Operation
    fields: dict[str, Any]
    encoded: Encoded
    thread: Sequence[str] = ()


class Notifier:
    def __init__(self, settings: Settings, store: Engine, log: Log) -> None:
        self._connections = Connections(store, settings.secret_key)
        self._log = log
        self._producer: Producer | None = None

    def messages(
        self, alert: Alert, text: str, occasion: str, standings: Mapping[str, Standing], csv: str = ""
    ) -> list[Message]:
        """The messages to send. Raises ``BadAlert``, ``UnknownConnection``, ``UnknownFunction``.

        ``occasion``: unique for each time that the alert speaks; the events' ids are made of it. When a connection of
        ``to`` delivers nothing now, ``otherwise`` is told as well. ``csv``: the rows to be attached.
        """
        made = [self._said(alert, address, text, occasion, csv) for address in alert.to]
        if alert.otherwise and any(_silent(one.connection, standings) for one in made):
            made += [self._said(alert, address, text, occasion, csv) for address in alert.otherwise]
        return made

    def replies(self, thread: Thread, parent: str) -> list[Message]:
        """The messages for the thread of ``parent``, Slack's id of a message. Raises as ``messages``."""
        connection = self._connections.get(thread.connection)
        address = Address(connection=connection.slug, object=thread.object, operation=Operation(thread.operation))
        return [
            self._message(
                thread.alert,
                str(uuid5(NAMESPACE_URL, f"writeback:alert:{thread.id}:{number}")),
                address,
                connection,
                {"channel": thread.channel, "thread_ts": parent, "text": text},
            )
            for number, text in enumerate(thread.texts)
        ]

    def check(self, alert: Alert) -> None:
        """Check that every address can be told. Raises as ``messages``."""
        for address in (*alert.to, *alert.otherwise):
            made = self._said(alert, address, "text", "check", "csv" if alert.attach else "")
            if alert.attach and not made.thread and "csv" not in str(made.fields):
                raise BadAlert(
                    f"alert {alert.name}: attach: rows go along to slack and email; for {made.connection.name} write "
                    "{csv} into one of its fields"
                )

    def tell(self, messages: list[Message]) -> None:
        """Send the messages; returns when the log has them. Raises ``LogUnavailable``, ``RecordRefused``."""
        if self._producer is None:
            self._producer = self._log.producer(name="alerts")
        out = []
        for message in messages:
            names, connection = self._log.names, message.connection
            self._log.ensure_topics([names.events_spec(connection.slug, connection.partitions)])
            key, value, headers = message.encoded
            out.append(self._producer.send(names.events_topic(connection.slug), key=key, value=value, headers=headers))
        for future in out:
            future.result(ANSWER_S)

    def close(self) -> None:
        if self._producer is not None:
            self._producer.close(ANSWER_S)
            self._producer = None

    def _said(self, alert: Alert, address: Address, text: str, occasion: str, csv: str) -> Message:
        connection = self._connections.get(address.connection)
        fields = _fields(connection, address, {"alert": alert.name, "text": text, "csv": csv})
        identifier = uuid5(NAMESPACE_URL, f"writeback:alert:{alert.name}:{occasion}:{address}:{address.operation}")
        made = self._message(alert.name, str(identifier), address, connection, fields)
        # a webhook has no channel, and does not return the ids of its messages
        has_threads = connection.connector == "slack" and "channel" in fields
        in_thread = csv and has_threads and not {"thread_ts", "ts"} & fields.keys()
        return replace(made, thread=pieces(csv)) if in_thread else made

    def _message(
        self, alert: str, identifier: str, address: Address, connection: Connection, fields: dict[str, Any]
    ) -> Message:
        connector = registry.build_to_ask(self._connections, connection)
        operation = address.operation
        function = connector.function(address.object, operation)
        if reason := lacking(connection, address.object, operation, fields):
            raise BadAlert(f"alert {alert}, connection {connection.name}: {reason}. Say it under fields")
        if reason := connector.refuses(function.object, function.operation, fields):
            raise BadAlert(f"alert {alert}, connection {connection.name}: {reason}")
        key = connector.record_key(function.object, function.operation, fields)
        try:
            value = exact_json.dumps(fields)
            stamp = Stamp(operation, connection.slug, address.object, source_of(alert), NO_OPTIONS)
            encoded = stamp.seal(identifier, now_text(), key, value)
        except ValueError as error:
            raise RecordRefused(f"alert {alert}: {error}") from error
        return Message(identifier, address, connection, address.object, operation, fields, encoded)


def _fields(connection: Connection, address: Address, values: Mapping[str, str]) -> dict[str, Any]:
    if address.place is None:
        return dict(_filled(address.fields, values))
    match connection.connector:
        case "slack":
            return {"channel": address.place, "text": values["text"]}
        case "email":
            first = values["text"].split("\n", 1)[0]
            file = [{"filename": f"{values['alert']}.csv", "content": values["csv"]}] if values["csv"] else []
            attached = {"attachments": file} if file else {}
            return {"to": address.place, "subject": first[:150], "text": values["text"], **attached}
    raise BadAlert(
        f"{address}: a place alone is enough for slack and email; {connection.name} is {connection.connector}. Write "
        "connection, object, operation and fields, with {text} where the text goes"
    )


def _filled(fields: Mapping[str, Any], values: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    for name, value in fields.items():
        if isinstance(value, str):
            yield name, filled(value, values)
        elif isinstance(value, dict):
            yield name, dict(_filled(value, values))
        else:
            yield name, value


def _silent(connection: Connection, standings: Mapping[str, Standing]) -> bool:
    standing = standings.get(connection.slug)
    return standing is not None and standing.state in SILENT
