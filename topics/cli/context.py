"""What a command may ask for: the settings, the log and the store, each opened when first asked for."""

from __future__ import annotations

from collections.abc import Callable
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


class CommandContext:
    """Handed to every command as ``ctx.obj`` by the front door, which closes it when the command ends.

    ``settings`` raises ``SettingsError`` (exit code 2); ``log()`` and ``store()`` open once and give the same object
    ever after.
    """

    def __init__(self, load: Callable[[], Settings] = _load) -> None:
        self._load = load
        self._open = ExitStack()

    @cached_property
    def settings(self) -> Settings:
        return self._load()

    def log(self) -> Log:
        return self._log

    def store(self) -> Engine:
        return self._store

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

    def close(self) -> None:
        """Close what was opened, last first; safe to call twice."""
        self._open.close()
