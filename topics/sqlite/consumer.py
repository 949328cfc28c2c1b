"""A consumer of the embedded log: its asyncio side. Its thread, which reads, is in ``topics/sqlite/member.py``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from time import monotonic

from sqlalchemy import Connection

from topics.errors import CommitFenced, LogError, LogReplaced, LogUnavailable, WritebackError
from topics.log import METADATA_BUDGET, Commit, Partition, Rebalance, Record, Unreadable
from topics.log.log_events import logger
from topics.sqlite import lease
from topics.sqlite.file import LogFile
from topics.sqlite.member import Member
from topics.sqlite.read_ahead import Assigned, Lost, ReadAhead
from topics.sqlite.records import partition_exists

_log = logger()


class SqliteConsumer:
    """See ``topics.log.Consumer``. One live member of a group owns every matching partition; the others stand by.

    A member that stands by takes over at once when the owner closes, and about 3 s after the owner has died.
    """

    def __init__(self, open_file: Callable[[], LogFile], group: str, *, pattern: str, rebalance: Rebalance) -> None:
        self._open_file = open_file
        self._group = group
        self._pattern = pattern
        self._rebalance = rebalance
        self._read_ahead = ReadAhead(self._notify, self._poke)
        self._news = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._file: LogFile | None = None
        self._member: Member | None = None
        self._epoch: int | None = None  # the epoch that ``assigned`` was called with; the thread may be further
        self._told: dict[Partition, int] = {}
        self._failure: WritebackError | None = None
        self._waiting = False
        self._closed = False

    async def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._file = await asyncio.to_thread(self._open_file)
        self._member = Member(self._file, self._group, self._pattern, self._read_ahead, self._failed)
        self._member.start()

    async def poll(self, timeout: float) -> list[Record]:
        deadline = monotonic() + timeout
        await asyncio.sleep(0)  # let other tasks run, however many records wait
        while True:
            self._news.clear()
            self._waiting = True  # set before looking, so that records which come later wake us
            records = self._take()
            if records or self._closed:
                self._waiting = False
                return records
            if self._failure is not None:
                failure, self._failure = self._failure, None
                raise failure
            remaining = deadline - monotonic()
            if remaining <= 0:
                self._waiting = False
                return []
            try:
                async with asyncio.timeout(remaining if self._is_ours() else min(remaining, lease.BEAT_SECONDS)):
                    await self._news.wait()
            except TimeoutError:
                continue

    def pause(self, partitions: Sequence[Partition]) -> None:
        self._read_ahead.pause(partitions)

    def resume(self, partitions: Sequence[Partition]) -> None:
        self._read_ahead.resume(partitions)
        self._poke()

    def seek(self, partition: Partition, offset: int) -> None:
        self._read_ahead.seek(partition, offset)
        self._poke()

    def position(self, partition: Partition) -> int | None:
        return self._read_ahead.position(partition) if partition in self._told else None

    async def commit(self, commits: Mapping[Partition, Commit]) -> None:
        strangers = [str(partition) for partition in commits if partition not in self._told]
        if strangers or self._file is None or self._epoch is None:
            raise CommitFenced(f"{', '.join(strangers) or 'nothing'} is not assigned to this member of {self._group}")
        for partition, commit in commits.items():
            size = len(commit.metadata.encode())
            if size > METADATA_BUDGET:
                raise LogError(
                    f"the metadata committed for {partition} has {size} bytes; {METADATA_BUDGET} are allowed"
                )
        if commits:
            await self._write_commits(dict(commits), self._epoch)

    @property
    def joined(self) -> bool:
        """A member that stands by counts as joined."""
        return self._member is not None and not self._closed

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._news.set()
        if self._file is None or self._member is None:
            return
        try:
            await self._leave()
        finally:
            await asyncio.to_thread(self._member.stop)
            self._read_ahead.clear()
            self._told.clear()
            epoch = self._member.epoch
            if epoch is not None:
                await self._release(self._file, epoch)

    async def _leave(self) -> None:
        if not self._told:
            return
        partitions = sorted(self._told)
        self._read_ahead.pause(partitions)
        commits = await self._rebalance.revoked(partitions)
        commits = {partition: commit for partition, commit in commits.items() if partition in self._told}
        if commits and self._epoch is not None:
            try:
                await self._write_commits(dict(commits), self._epoch)
            except (CommitFenced, LogReplaced):
                self._told.clear()  # another owner commits for them now, or the file is gone

    async def _release(self, file: LogFile, epoch: int) -> None:
        def release(connection: Connection) -> None:
            lease.release(connection, self._group, epoch)

        try:
            await asyncio.wrap_future(file.writer.submit(release))
        except LogReplaced:
            return
        except LogUnavailable as error:
            _log.warning("lease.not_released", group=self._group, reason=str(error), takeover_s=lease.TAKEOVER_SECONDS)

    async def _write_commits(self, commits: Mapping[Partition, Commit], epoch: int) -> None:
        assert self._file is not None
        ids = {partition: self._told[partition] for partition in commits}

        def write(connection: Connection) -> None:
            if not lease.holds(connection, self._group, epoch):
                raise CommitFenced(f"the group {self._group} has another owner since this assignment")
            for partition, partition_id in ids.items():
                if not partition_exists(connection, partition_id):
                    raise CommitFenced(f"{partition} was deleted")
            connection.exec_driver_sql(
                "INSERT OR REPLACE INTO commits VALUES (?, ?, ?, ?)",
                [(self._group, ids[partition], *commit) for partition, commit in commits.items()],
            )

        await asyncio.wrap_future(self._file.writer.submit(write))

    def _take(self) -> list[Record]:
        """The records that were read ahead; changes of the assignment are told first."""
        while True:
            taken = self._read_ahead.take() if self._is_ours() else self._read_ahead.take_news()
            if isinstance(taken, Assigned):
                self._epoch = taken.epoch
                self._told |= taken.ids
                self._rebalance.assigned(taken.commits)
            elif isinstance(taken, Lost):
                self._lose([partition for partition in taken.partitions if partition in self._told])
            elif isinstance(taken, Unreadable):
                self._rebalance.unreadable(taken)
            else:
                return taken

    def _lose(self, partitions: Sequence[Partition]) -> None:
        for partition in partitions:
            del self._told[partition]
        if partitions:
            self._rebalance.lost(partitions)

    def _is_ours(self) -> bool:
        """False after a freeze of this process, when another member may own the group, until the thread has checked."""
        return self._member is not None and monotonic() - self._member.checked < lease.TAKEOVER_SECONDS

    def _poke(self) -> None:
        if self._member is not None:
            self._member.wake.set()

    def _failed(self, error: WritebackError) -> None:
        self._failure = error
        self._notify()

    def _notify(self) -> None:
        if self._waiting and self._loop is not None and not self._loop.is_closed():
            self._waiting = False
            try:
                self._loop.call_soon_threadsafe(self._news.set)
            except RuntimeError:  # the loop has just been closed: nobody waits any more
                return
