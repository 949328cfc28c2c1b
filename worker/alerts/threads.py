"""Posts rows in the thread of a message, once the ledger says that it was delivered, and with which id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from topics.errors import LogUnavailable, MalformedEvent, StoreUnavailable, WritebackError
from topics.event.result import Result, unpack
from topics.log import Log, Partition
from topics.log.backlog import partitions_of, read_to_end
from worker.alerts.notify import Message, Notifier
from worker.alerts.state import AlertStates, Thread
from worker.log_events import logger

KEEP_S = 7 * 86_400.0
"""Seconds after which a message that was not delivered gets no rows any more."""


class Threads:
    """The threads of all alerts; used by the one process that checks alerts."""

    def __init__(self, states: AlertStates, log: Log, notifier: Notifier) -> None:
        self._states = states
        self._log = log
        self._notifier = notifier
        self._read: dict[Partition, int] = {}
        self._any = True

    def of(self, alert: str, messages: Sequence[Message], now: float) -> list[Thread]:
        """The threads of these messages, to be stored together with what was told. Called before they are sent."""
        wanted = [message for message in messages if message.thread]
        if not wanted:
            return []
        self._any = True
        self._log.ensure_topics(self._log.names.system_topics)
        ends = self._log.end_offsets(partitions_of(self._log, self._log.names.results))
        after = {str(place): end for place, end in ends.items()}
        return [
            Thread(
                id=one.id,
                alert=alert,
                connection=one.connection.slug,
                object=one.object,
                operation=one.operation,
                channel=one.fields["channel"],
                texts=[*one.thread],
                after=after,
                told_at=now,
            )
            for one in wanted
        ]

    def answer(self, now: float) -> None:
        """Post the rows of messages that are delivered by now. Raises ``LogUnavailable``, ``StoreUnavailable``."""
        waiting = {one.id: one for one in self._states.threads()} if self._any else {}
        self._any = bool(waiting)
        if not waiting:
            return
        results, ends = self._results(waiting)
        for result in results:
            thread = waiting.pop(result.id)
            if result.outcome == "delivered" and isinstance(result.detail, str):
                self._reply(thread, result.detail)
            self._states.thread_over(thread.id)
        for thread in waiting.values():
            if now - thread.told_at > KEEP_S:
                self._states.thread_over(thread.id)
        self._read = ends

    def _reply(self, thread: Thread, parent: str) -> None:
        try:
            self._notifier.tell(self._notifier.replies(thread, parent))
        except (LogUnavailable, StoreUnavailable):
            raise
        except WritebackError as error:  # such as a connection that was removed: the rows are dropped
            logger().error("alert.not_told", alert=thread.alert, reason=str(error))

    def _results(self, waiting: Mapping[str, Thread]) -> tuple[list[Result], dict[Partition, int]]:
        """The new outcomes of these messages in the ledger, one of each, and the ledger's end offsets."""
        ends = self._log.end_offsets(partitions_of(self._log, self._log.names.results))
        starts = {place: self._start(place, end, waiting) for place, end in ends.items()}
        found: dict[str, Result] = {}
        for records in read_to_end(self._log, starts):
            for record in records:
                try:
                    found |= {one.id: one for one in unpack(record.value) if one.id in waiting}
                except MalformedEvent:  # written by a later version; the worker, which reads the same topic, reports it
                    continue
        return list(found.values()), ends

    def _start(self, place: Partition, end: int, waiting: Mapping[str, Thread]) -> int:
        start = self._read.get(place)
        if start is None:
            start = min(one.after.get(str(place), 0) for one in waiting.values())
        return start if start <= end else 0
