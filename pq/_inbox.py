"""The outcomes this process waits for: one partition of ``writeback.replies``, read only when somebody looks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from topics.event.event import new_id
from topics.event.result import Result, unpack
from topics.log import Log, Partition, Reader

if TYPE_CHECKING:
    from pq.receipt import Receipt

POLL_S = 0.5
"""A thread that waits lets another one read after this long; replies themselves wake it at once."""
HOUSEKEEPING = 10_000
"""A script that never looks gets rid of what has been answered every so many writes, so that its memory is bounded by
what is unanswered."""


class Inbox:
    """Thread-safe. Its place in the partition is noted when it is made, before the first write: nothing is missed."""

    def __init__(self, log: Log) -> None:
        replies = log.names.replies
        count = max(log.topics(replies).get(replies, 1), 1)
        self.partition = int(new_id().replace("-", "")[-8:], 16) % count
        self._log = log
        place = Partition(replies, self.partition)
        self._starts = log.end_offsets([place])
        self._reader: Reader | None = None
        self._reading = threading.Lock()
        self._receipts: dict[str, Receipt] = {}
        self._writes = 0

    def expect(self, receipt: Receipt) -> None:
        self._receipts[receipt.id] = receipt
        self._writes += 1
        if self._writes % HOUSEKEEPING == 0:
            self.drain()

    def forget(self, receipt: Receipt) -> None:
        self._receipts.pop(receipt.id, None)

    def unanswered(self) -> list[Receipt]:
        return [receipt for receipt in list(self._receipts.values()) if not receipt.done]

    def wait(self, done: Callable[[], bool], seconds: float) -> bool:
        """Read until ``done()`` or for ``seconds``; whether it is done."""
        deadline = time.monotonic() + seconds
        while not done():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            if self._reading.acquire(timeout=min(left, POLL_S)):
                try:
                    if not done():
                        self._read(min(left, POLL_S))
                finally:
                    self._reading.release()
        return True

    def drain(self) -> None:
        """Take what has come, without waiting."""
        with self._reading:
            while self._read(0.0):
                pass

    def _read(self, timeout: float) -> bool:
        if self._reader is None:
            self._reader = self._log.reader(self._starts)
        records = self._reader.poll(timeout)
        for record in records:
            if (record.key or b"").decode(errors="replace") in self._receipts:  # the partition is shared with others
                for result in unpack(record.value):
                    self._settle(result)
        return bool(records)

    def _settle(self, result: Result) -> None:
        receipt = self._receipts.pop(result.id, None)
        if receipt is not None:
            receipt.settle(result)

    def close(self) -> None:
        with self._reading:
            if self._reader is not None:
                self._reader.close()
