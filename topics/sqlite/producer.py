"""A producer of the embedded log; ``topics/sqlite/writer.py`` does the writing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from functools import partial

from sqlalchemy import Connection

from topics.errors import LogError, LogUnavailable, RecordRefused, RecordTooLarge
from topics.log import Content, Failures, Headers, Position
from topics.sqlite.file import LogFile
from topics.sqlite.records import Append, pack_headers


class SqliteProducer:
    """See ``topics.log.Producer``."""

    def __init__(self, open_file: Callable[[], LogFile], max_record_bytes: int) -> None:
        self._open_file = open_file
        self._file: LogFile | None = None
        self._max_record_bytes = max_record_bytes
        self._closed = False

    def send(
        self,
        topic: str,
        *,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
        partition: int | None = None,
        timestamp_ms: int | None = None,
    ) -> Future[Position]:
        try:
            packed = pack_headers(headers)
        except UnicodeEncodeError as error:
            raise RecordRefused(f"a header's name has no UTF-8 form: {error.object!r}") from error
        size = len(key or b"") + len(value or b"") + len(packed or b"")
        if size > self._max_record_bytes:
            raise RecordTooLarge(
                f"the record for {topic} has {size} bytes; this producer sends up to {self._max_record_bytes}"
            )
        if timestamp_ms is None:
            timestamp_ms = int(time.time() * 1_000)  # noqa: TID251 - the timestamp of a record is the wall clock's
        future: Future[Position] = Future()
        self._writable().writer.append(Append(topic, partition, timestamp_ms, key, value, packed, size, future))
        return future

    def send_all(self, topic: str, contents: Sequence[Content]) -> Future[Failures]:
        """Like ``send`` for each, with one future for all. The writer groups them into transactions anyway."""
        if self._closed:
            raise LogUnavailable("this producer is closed")
        together = _Together(len(contents))
        for place, (key, value, headers) in enumerate(contents):
            try:
                sent = self.send(topic, key=key, value=value, headers=headers)
            except RecordRefused as error:
                together.ended(place, error)
            else:
                sent.add_done_callback(partial(together.answered, place))
        return together

    def flush(self, timeout: float | None = None) -> None:
        if self._file is None:
            return
        behind_all = self._file.writer.submit(_nothing)  # the queue is first in, first out
        if not wait([behind_all], timeout).done:
            raise LogUnavailable(f"the log {self._file.path} did not take everything within {timeout} s")

    def close(self, timeout: float | None = None) -> None:
        if self._closed:
            return
        self._closed = True
        self.flush(timeout)

    def _writable(self) -> LogFile:
        if self._closed:
            raise LogUnavailable("this producer is closed")
        if self._file is None:
            self._file = self._open_file()
        return self._file


class _Together(Future[Failures]):
    """Resolves when the last of ``count`` records has its answer."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self._left = count
        self._failures: dict[int, LogError] = {}
        self._lock = threading.Lock()
        if not count:
            self.set_result({})

    def answered(self, place: int, sent: Future[Position]) -> None:
        error = sent.exception()
        if error is not None and not isinstance(error, LogError):
            error = LogUnavailable(str(error))
        self.ended(place, error)

    def ended(self, place: int, error: LogError | None) -> None:
        with self._lock:
            self._left -= 1
            if error is not None:
                self._failures[place] = error
            last = not self._left
        if last:
            self.set_result(self._failures)


def _nothing(_: Connection) -> None:
    """A job that does nothing: when it is done, so is everything before it."""
