"""The session of this process: opened on first use, flushed however the process ends, not shared with a fork.

Normal end, an exception and Ctrl-C end in ``atexit``. SIGTERM would end Python without it, so where nobody has set a
handler it becomes ``SystemExit``. A ``multiprocessing`` child ends without ``atexit`` too; it has finalizers.
"""

from __future__ import annotations

import atexit
import gc
import logging
import os
import signal
import sys
import threading
from multiprocessing import util
from types import FrameType

from pq._transport import Transport
from pq.errors import NotSent
from topics.errors import LogError

_LOGGER = logging.getLogger("pq")

PATIENCE_S = 5.0
YOUNG_OBJECTS = 10_000
FLUSH_S = 120.0
"""As long as the Kafka client itself goes on trying."""


_lock = threading.RLock()
_session: Transport | None = None
_inherited: list[Transport] = []
"""Sessions of parents. Kept, never used or closed: closing them here would close what the parent is using."""


def session() -> Transport:
    """Raises ``SettingsError``; ``LogUnavailable`` when the log cannot be reached."""
    global _session  # noqa: PLW0603 - one per process is what it is for
    if _session is None:
        with _lock:
            if _session is None:
                _session = _open()
    return _session


def replace(fake: Transport | None) -> Transport | None:
    """For ``pq.testing``: put another session in the place of this one, and hand back what was there."""
    global _session
    with _lock:
        before, _session = _session, fake
    return before


def flush(timeout: float | None = None) -> None:
    """Wait until the log has everything that was emitted so far.

    Raises ``NotSent`` for events it did not take, ``LogUnavailable`` when ``timeout`` seconds have passed.
    """
    if _session is not None:
        _session.flush(timeout)


def _open() -> Transport:
    from connectors.connections.store import (  # noqa: PLC0415 - `import pq` is quick; SQL comes with the first use
        Connections,
    )
    from pq._scripts import ScriptStates  # noqa: PLC0415
    from pq._session import Session  # noqa: PLC0415
    from topics.cli.context import CommandContext  # noqa: PLC0415

    context = CommandContext()
    connections = Connections(context.store(), context.settings.secret_key)
    opened = Session(context.log(), connections, ScriptStates(context.store()), group=context.settings.group)
    # What is loaded by now stays loaded. Without this every full collection walks it, once in some thousand writes:
    # 13 us of each write's 65 (measured, the Kafka client's own part included).
    gc.freeze()
    _look_less_often_for_garbage()
    # After the log's own exit hooks were registered, so that ours runs before them.
    atexit.register(_at_exit)
    util.Finalize(None, _at_exit, exitpriority=100)
    _end_in_order_on_sigterm()
    return opened


def _look_less_often_for_garbage() -> None:
    """A write makes some ten objects that live until the log has it: looked through every 700 objects they cost more.

    Measured on Kafka: 60 us of CPU a write instead of 70. Scripts that have set more, or 0, keep what they have set.
    """
    young, middle, old = gc.get_threshold()
    if 0 < young < YOUNG_OBJECTS:
        gc.set_threshold(YOUNG_OBJECTS, middle, old)


def _at_exit() -> None:
    """Never raises: what could not be flushed is said on stderr, whatever else the process is dying of."""
    global _session
    ending, _session = _session, None
    if ending is None:
        return
    try:
        _flush_patiently(ending)
        ending.close()
    except NotSent as error:
        _LOGGER.error("%s", error)  # noqa: TRY400 - a message for the script's author, not a traceback
    except LogError as error:
        _LOGGER.error("not everything that was emitted has reached the log, some events may be lost: %s", error)  # noqa: TRY400
    except KeyboardInterrupt:
        _LOGGER.error("interrupted before everything that was emitted had reached the log")  # noqa: TRY400


def _flush_patiently(ending: Transport) -> None:
    try:
        ending.flush(PATIENCE_S)
    except LogError:
        _LOGGER.warning("waiting up to %.0f s for the log to take what was emitted; Ctrl-C gives up", FLUSH_S)
        ending.flush(FLUSH_S)


def _end_in_order_on_sigterm() -> None:
    in_main = threading.current_thread() is threading.main_thread()
    if in_main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _exit_on_signal)


def _exit_on_signal(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)


def _settle_before_fork() -> None:
    """SQLite keeps in memory who holds which lock; a child born in the middle of a write would see it held for ever."""
    if _session is not None:
        try:
            _session.flush(PATIENCE_S)
        except (NotSent, LogError) as error:
            _LOGGER.warning("forking although not everything that was emitted has reached the log: %s", error)


def _forget_in_child() -> None:
    global _session, _lock
    if _session is not None:
        _inherited.append(_session)
    _session, _lock = None, threading.RLock()


os.register_at_fork(before=_settle_before_fork, after_in_child=_forget_in_child)
