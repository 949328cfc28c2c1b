"""Reads partitions of the embedded log without a group; synchronous."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from time import monotonic

from sqlalchemy.exc import DBAPIError

from topics.errors import LogError
from topics.log import Partition, Record, Unreadable, UnreadableRecords
from topics.log.log_events import logger
from topics.sqlite.errors import explain
from topics.sqlite.file import LogFile
from topics.sqlite.records import BrokenRecord, find_partition, read_records

log = logger()

IDLE_SECONDS = 0.5
"""Seconds between two looks when no change of the file was noticed (``foreign.py``)."""
READ_RECORDS = 500


class SqliteReader:
    """See ``topics.log.Reader``. Records that were deleted meanwhile are left out."""

    def __init__(self, file: LogFile, starts: Mapping[Partition, int], *, strict: bool) -> None:
        self._file = file
        self._strict = strict
        self._wake = threading.Event()
        self._positions = dict(starts)
        try:
            self._connection = file.engine.connect()
            self._ids = {partition: self._id_of(partition) for partition in starts}
            self._connection.rollback()
        except DBAPIError as error:
            raise explain(error, file.path) from error
        file.watch(self._wake)

    def poll(self, timeout: float) -> list[Record]:
        deadline = monotonic() + timeout
        while True:
            self._wake.clear()
            records = self._read()
            remaining = deadline - monotonic()
            if remaining <= 0 and not records:
                self._pass_deleted()
            if records or remaining <= 0:
                return records
            self._wake.wait(min(remaining, IDLE_SECONDS))

    def position(self, partition: Partition) -> int:
        return self._positions[partition]

    def close(self) -> None:
        self._file.unwatch(self._wake)
        self._connection.close()

    def _read(self) -> list[Record]:
        self._file.verify()
        records: list[Record] = []
        broken: Unreadable | None = None
        try:
            for partition, position in self._positions.items():
                records += read_records(self._connection, self._ids[partition], partition, position, READ_RECORDS)
                if len(records) >= READ_RECORDS:
                    break
            self._connection.rollback()
        except BrokenRecord as error:
            self._connection.rollback()
            records += error.before
            broken = error.found
        except DBAPIError as error:
            raise explain(error, self._file.path) from error
        if broken is not None and self._strict and not records:
            raise UnreadableRecords(broken)
        for record in records:
            # moved to the end, so that the next read begins with partitions that were not read now
            self._positions.pop(record.partition, None)
            self._positions[record.partition] = record.offset + 1
        if broken is not None and not self._strict:
            self._positions[broken.partition] = broken.behind
            log.warning("log.reader_passed", partition=str(broken.partition), reason=broken.reason)
        return records

    def _pass_deleted(self) -> None:
        """After an empty read, move on past records that were deleted."""
        try:
            for partition, position in self._positions.items():
                found = find_partition(self._connection, partition)
                if found is not None:
                    self._positions[partition] = max(position, found[1])
            self._connection.rollback()
        except DBAPIError as error:
            raise explain(error, self._file.path) from error

    def _id_of(self, partition: Partition) -> int:
        found = find_partition(self._connection, partition)
        if found is None:
            self._connection.close()
            raise LogError(f"{partition} does not exist in the log {self._file.path}")
        return found[0]
