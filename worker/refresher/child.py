"""One run as a child process: it takes a job, reports progress, and however it ends, a ``Result`` comes of it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

from connectors.connections.refresh.policy import refresh_policy
from connectors.connections.table import Connection
from worker.refresher.job import Job, Progress, Read, Report, Result, parse_line
from worker.refresher.leases import PULSE_SECONDS

SYNC = (sys.executable, "-m", "worker.refresher.sync")
EXTERNAL = (sys.executable, "-m", "worker.refresher.external")
MAX_LINE = 1_048_576
LAST_WORDS = 20
"""How many lines of its stderr are kept, to explain a run that ends without a result."""
MAX_DETAIL = 4_000


def command_for(connection: Connection) -> Sequence[str]:
    """The command of the child: our own load, or the call of the tool that the connection names.

    Raises ``BadConnection``.
    """
    call = refresh_policy(connection).call
    return SYNC if call is None else (*EXTERNAL, call.model_dump_json())


class ChildRun:
    """Started by ``run``; ``kill`` ends it, and everything it has started, at once."""

    def __init__(self, command: Sequence[str] = SYNC, environment: Mapping[str, str] | None = None) -> None:
        self._command = command
        self._environment = environment
        self._process: Process | None = None

    async def run(self, job: Job, told: Callable[[Read], None]) -> Result:
        """Run the job to its end. Cancelling kills the child."""
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=PIPE,
                stdout=PIPE,
                stderr=PIPE,
                limit=MAX_LINE,
                env=self._environment,
                start_new_session=True,
            )
        except OSError as error:
            return Result(status="error", retry=True, detail=f"{self._command[0]} does not start: {error}")
        try:
            return await self._conversation(self._process, job, told)
        finally:
            await self.kill()

    async def kill(self) -> None:
        """Returns when it is dead. Safe to call at any time."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()

    async def _conversation(self, process: Process, job: Job, told: Callable[[Read], None]) -> Result:
        stdin, stdout, stderr = process.stdin, process.stdout, process.stderr
        assert stdin is not None
        assert stdout is not None
        assert stderr is not None
        last_words: deque[str] = deque(maxlen=LAST_WORDS)
        stdin.write(job.line().encode())
        pulse = asyncio.create_task(_pulse(stdin))
        listening = asyncio.create_task(_listen(stderr, last_words))
        try:
            result = await _hear(stdout, told)
            code = await process.wait()
            with contextlib.suppress(TimeoutError):  # a grandchild may have kept it open
                await asyncio.wait_for(asyncio.shield(listening), 1.0)
        finally:
            pulse.cancel()
            listening.cancel()
            await asyncio.gather(pulse, listening, return_exceptions=True)
            stdin.close()
        return result if result is not None else _without_result(code, last_words)


async def _pulse(stdin: asyncio.StreamWriter) -> None:
    """Sign of life for the child: without one it ends itself (``lifeline.py``)."""
    while True:
        await asyncio.sleep(PULSE_SECONDS)
        with contextlib.suppress(ConnectionError):  # the child has ended, or does not read its stdin
            stdin.write(b"\n")
            await stdin.drain()


async def _hear(stdout: asyncio.StreamReader, told: Callable[[Read], None]) -> Result | None:
    """Read the child's output to the end. Returns its result, if there is one."""
    result: Result | None = None
    async for line in _lines(stdout):
        match parse_line(line):
            case Progress(progress=read):
                told(read)
            case Report(result=said):
                result = said
    return result


async def _listen(stderr: asyncio.StreamReader, last_words: deque[str]) -> None:
    async for line in _lines(stderr):
        if text := line.decode(errors="replace").rstrip():
            last_words.append(text[:MAX_DETAIL])


async def _lines(stream: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while True:
        try:
            line = await stream.readline()
        except ValueError:
            continue  # longer than MAX_LINE: some library's output, which the stream has dropped
        if not line:
            return
        yield line


def _without_result(code: int, last_words: Sequence[str]) -> Result:
    if code < 0:
        name = signal.Signals(-code).name
        hint = " (out of memory?)" if -code == signal.SIGKILL else ""
        detail = f"the run was killed by {name}{hint}"
    else:
        detail = f"the run ended with exit code {code} and said no result"
    said = "\n".join(last_words)[-MAX_DETAIL:]
    return Result(status="error", retry=True, detail=f"{detail}: {said}" if said else detail)
