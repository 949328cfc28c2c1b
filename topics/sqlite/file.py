"""The file of an embedded log within a process: everybody who opens it shares one engine and one writing thread."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from topics.errors import LogReplaced
from topics.sqlite.foreign import ForeignWrites
from topics.sqlite.schema import make_engine, prepare
from topics.sqlite.writer import Writer


class LogFile:
    """Made by ``open_file``. Watchers' events are set after each write: at once for this process, soon for others."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.engine = make_engine(path)
        self.users = 0
        self._watchers: frozenset[threading.Event] = frozenset()
        self._foreign: ForeignWrites | None = None
        self._lock = threading.Lock()
        try:
            prepare(self.engine, path)
        except BaseException:
            self.engine.dispose()
            raise
        self._identity = _identity(path)
        self.writer = Writer(self.engine, path, self.changed, self.verify)

    def verify(self) -> None:
        """Raises ``LogReplaced`` when the path leads to another file now, or to none.

        SQLite would go on with a deleted file, and acknowledge writes that are lost.
        """
        now = _identity(self.path)
        if now == self._identity:
            return
        what = "was deleted" if now is None else "was replaced by another file"
        raise LogReplaced(
            f"the log {self.path} {what} while this process used it: nobody delivers what is in the old one. Stop "
            "every process that uses it, put the file back if you still have it, and start again"
        )

    def changed(self) -> None:
        for watcher in self._watchers:
            watcher.set()

    def watch(self, event: threading.Event) -> None:
        with self._lock:
            self._watchers |= {event}
            if self._foreign is None:
                self._foreign = ForeignWrites(self.engine, self.changed)

    def unwatch(self, event: threading.Event) -> None:
        with self._lock:
            self._watchers -= {event}
            foreign = self._foreign
            if self._watchers or foreign is None:
                return
            self._foreign = None
        foreign.stop()

    def close(self) -> None:
        self.writer.close()
        self.changed()
        self.engine.dispose()


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


_files: dict[Path, LogFile] = {}
_opening = threading.Lock()
_carried_over: list[LogFile] = []


def open_file(path: Path) -> LogFile:
    """The one ``LogFile`` of this process for a path; ``release_file`` gives it back.

    Raises ``SettingsError`` for a file that is not a log of ours, ``LogUnavailable`` when it does not open.
    """
    with _opening:
        file = _files.get(path)
        if file is None:
            file = _files[path] = LogFile(path)
        file.users += 1
        return file


def release_file(file: LogFile) -> None:
    """The last user's release writes what is queued and closes the file."""
    with _opening:
        file.users -= 1
        if file.users:
            return
        del _files[file.path]
    file.close()


def _forget() -> None:
    """For the child after a fork: it has no threads, and SQLite forbids using or closing the parent's connections."""
    global _opening  # noqa: PLW0603 - may have been held by a thread that does not exist here
    _opening = threading.Lock()
    _carried_over.extend(_files.values())
    _files.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
