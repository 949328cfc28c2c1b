"""The fixed names of what the worker logs. Never a payload, never a secret."""

from __future__ import annotations

from typing import Literal, Protocol

from topics.log.log_events import LazyLogger

EventName = Literal[
    "worker.started",  # group, log
    "worker.slept",  # no sign of life for seconds: no call starts before the log has said what is still ours
    "worker.stopping",  # why, out: calls under way
    "worker.stopped",  # left: records whose call did not end within the grace period
    "partition.assigned",  # partition, offset, unfinished attempts carried over
    "partition.revoked",
    "partition.lost",  # the session expired: nothing could be committed
    "partition.reread",  # what waited was dropped; read again from the first undone
    "partition.held",  # partition, kind, reason: nothing of it goes out until an operator has decided; reason says how
    "partition.order",  # partition, order, answer: what an operator ordered about it is carried out, or cannot be
    "connection.opened",  # connector, version
    "connection.held",  # cannot be opened: reason; tried again
    "connection.unknown",  # the store has no such connection: its events are held
    "topics.of_others",  # connections, own: the store knows none of these; what waits in their topics is held
    "connection.changed",  # state or settings, by an operator
    "connection.quarantined",  # more than half of the last 200 were rejected
    "breaker.opened",
    "breaker.half_open",
    "breaker.closed",
    "lane.blocked",  # partition, offset, object, operation, attempts, waiting_since: it holds up the commit of the rest
    "delivery.attempted",  # connection, object, operation, outcome, reason, attempt, next, delay, status, ms
    "delivery.bug",  # a connector raised: counted as Unknown
    "key.unparked",  # a replay is through and nothing was diverted since: connection, keys still parked
    "letter.written",  # connection, cause, reason, letter
    "letter.shortened",  # the log takes no letter of that size: it goes with less evidence
    "letter.refused",  # the log does not take a letter: the event is held
    "state.refused",  # the log does not take the state of a connection
    "reply.refused",  # the log does not take a reply: as for a letter
    "publish.retry",  # the log does not answer: a letter, a reply or results are repeated until it does
    "commit.failed",
    "commit.fenced",
    "commit.foreign_metadata",
    "commit.crowded",  # the metadata budget is nearly used: no new records from this partition
    "log.unavailable",
    "loop.stalled",  # seconds: the event loop stood still; the stacks of all threads follow on stderr
    "loop.resumed",
    "metrics.listening",  # host, port
    "secret.kept",  # connection, secret: the vendor replaced it, and the store has it
    "secret.not_kept",  # connection, secret, error, retry_in
    "process.started",  # number, pid
    "process.ended",  # number, pid, code, restart_in
    "process.killed",  # number, pid: it did not end within the grace period
    "relay.started",  # warehouse: this relay is the one that works; others stand by
    "relay.recovered",  # looked_through: events in the topics, after a relay that was killed
    "relay.rejected",  # trigger, row, reason: no event can be made of it; `writeback triggers rejected` lists it
    "relay.warehouse_unavailable",  # error; tried again
    "relay.log_unavailable",  # error: the log or the store; the rows stay in the outbox
    "store.unavailable",
    "refresher.started",  # group, at_once
    "refresher.stopped",
    "refresh.started",  # connection, run, requests, objects, full, attempt, pending_writes
    "refresh.ended",  # connection, run, seconds, rows
    "refresh.failed",  # connection, run, attempt, reason, retry_in: tried again
    "refresh.dead_lettered",  # connection, requests, letters, reason
    "refresh.cut_off",  # connection, run, reason: the lease was lost; it is run again
    "sync.ended",  # sync, run, read, sent, refused: all that had changed is in the log
    "sync.failed",  # sync, reason, retry_in: the next run goes on where this one was
    "sync.stopped",  # sync, reason: a guard stopped it, and nothing was sent
    "sync.waiting",  # sync, reason: it is due and cannot start now
    "alert.told",  # alert, key, count, times: it holds, and somebody was told, for the n-th time
    "alert.over",  # alert, key: what held is over, and was told so
    "alert.not_told",  # alert, reason: whom it tells cannot be told; tried again at the next look
    "alert.unreadable",  # reason: a definition is wrong; the others go on
    "alert.waiting",  # reason: the store or the log is away
    "sync.unreadable",  # reason: a definition is wrong; the others go on
    "refresh.waiting",  # connection, reason: it cannot start now (store or log away, a lease that another holds)
]


class Logger(Protocol):
    def debug(self, event: EventName, /, **fields: object) -> object: ...
    def info(self, event: EventName, /, **fields: object) -> object: ...
    def warning(self, event: EventName, /, **fields: object) -> object: ...
    def error(self, event: EventName, /, **fields: object) -> object: ...
    def exception(self, event: EventName, /, **fields: object) -> object: ...


def logger() -> Logger:
    log: Logger = LazyLogger("worker")
    return log
