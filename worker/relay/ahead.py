"""What a relay asks of its database while it does something else itself: one thing after the other."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self, TypeVar

T = TypeVar("T")


class Ahead:
    """In a thread of its own; without one (``threaded``), at once, as for SQLite, whose connections stay in theirs.

    The connection is used from one place at a time: whoever has handed something over waits for its result before
    using it itself.
    """

    def __init__(self, *, threaded: bool) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="writeback-relay") if threaded else None

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """What ``work`` raises, the result raises."""
        if self._thread is not None:
            return self._thread.submit(work)
        done = Future[T]()
        try:
            done.set_result(work())
        except Exception as error:  # noqa: BLE001 - raised by the result
            done.set_exception(error)
        return done

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """What was begun is waited for."""
        if self._thread is not None:
            self._thread.shutdown(wait=True)
