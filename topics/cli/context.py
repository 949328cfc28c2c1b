"""What a command may ask for: the settings, the log and the store, each opened when first asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from topics.log import Log
    from topics.settings import Settings


def _load() -> Settings:
    from topics.settings import load_settings  # noqa: PLC0415 - `writeback --help` needs no settings, and is quicker

    return load_settings()


def _none(_: CommandContext) -> Mapping[str, str]:
    return {}


class CommandContext:
    """Handed to every command as ``ctx.obj`` by the front door, which closes it when the command ends.

    ``settings`` raises ``SettingsError`` (exit code 2); ``log()`` and ``store()`` open once and give the same object
    ever after. ``held_back``: how the front door finds what it says. ``slugs_in``: the slugs of all connections that
    are a store's own.
    """

    def __init__(
        self,
        load: Callable[[], Settings] = _load,
        *,
        held_back: Callable[[CommandContext], Mapping[str, str]] = _none,
        slugs_in: Callable[[Engine], set[str]] | None = None,
    ) -> None:
        self._load = load
        self._held_back = held_back
        self._slugs_in = slugs_in
        self.debug = False
        """``--debug`` was given."""
        self._open = ExitStack()

    def another(self, load: Callable[[], Settings]) -> CommandContext:
        """One with other settings, and the same front door behind it."""
        return CommandContext(load, held_back=self._held_back, slugs_in=self._slugs_in)

    @cached_property
    def settings(self) -> Settings:
        return self._load()

    def log(self) -> Log:
        return self._log

    def store(self) -> Engine:
        return self._store

    def held_back(self) -> Mapping[str, str]:
        """Connections whose events do not go out now, by slug: in which state they are, why, and what ends it."""
        return self._held_back(self)

    @property
    def known_slugs(self) -> Callable[[], set[str]] | None:
        """Asks which connections are the store's own; None when nobody can say, and everything is taken."""
        slugs_in = self._slugs_in
        return None if slugs_in is None else lambda: slugs_in(self.store())

    @cached_property
    def _log(self) -> Log:
        log = self.settings.open_log()
        self._open.callback(log.close)
        return log

    @cached_property
    def _store(self) -> Engine:
        from topics.store import open_store  # noqa: PLC0415 - SQLAlchemy costs its import only where there is a table

        engine = open_store(self.settings.store)
        self._open.callback(engine.dispose)
        return engine

    def wants_tracebacks(self) -> bool:
        """By ``--debug`` or ``WRITEBACK_DEBUG``."""
        readable = self._readable_settings
        return self.debug or (readable is not None and readable.debug)

    def reports_to_stderr(self) -> bool:
        """By ``WRITEBACK_REPORTS=stderr``."""
        readable = self._readable_settings
        return readable is not None and readable.reports == "stderr"

    def secrets(self) -> tuple[str, ...]:
        """What no report may hold."""
        readable = self._readable_settings
        given = () if readable is None else (readable.secret_key, readable.kafka_sasl_password)
        return tuple(part for value in given if value for part in value.split(","))

    @property
    def _readable_settings(self) -> Settings | None:
        """For what is asked when something has failed already: the settings themselves may be what is wrong."""
        try:
            return self.settings
        except Exception:  # noqa: BLE001 - the first failure is told, not this one
            return None

    def close(self) -> None:
        """Close what was opened, last first; safe to call twice."""
        self._open.close()
