"""Opens the log that a URL names; engines are imported only when they are used."""

from __future__ import annotations

from collections.abc import Mapping

from topics.errors import SettingsError
from topics.log import Log
from topics.names import DEFAULT, Names


def open_log(url: str, *, kafka: Mapping[str, object] | None = None, names: Names = DEFAULT) -> Log:
    """``sqlite:///path/to/log.db`` or ``kafka://host:9092,host2:9092``.

    ``kafka``: client settings (SASL, TLS); ``names``: what this installation calls its topics and groups.

    Raises ``SettingsError`` for any other scheme. Does not connect: ``Log.probe`` does.
    """
    if url.startswith("sqlite:"):
        from topics.sqlite.log import SqliteLog  # noqa: PLC0415 - an engine costs its import only where it runs

        return SqliteLog(url, names)
    if url.startswith("kafka://"):
        from topics.kafka.log import KafkaLog  # noqa: PLC0415

        return KafkaLog(url.removeprefix("kafka://").rstrip("/").split(","), dict(kafka or {}), names)
    raise SettingsError(f"WRITEBACK_LOG is {url!r}; it is sqlite:///path/to/log.db or kafka://host:9092,...")
