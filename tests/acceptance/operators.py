"""Processes that work on dead letters as operators, the worker and the archive do, and that begin at the same moment.

They are forked from a server that has the rooms loaded (tests/tools/forked.py), and do one work after the other. Each
opens its own log and store for each work.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from uuid import uuid4

from dead_letter.cli.commands import dead_letters
from dead_letter.letter.letter import Letter
from dead_letter.store import claims
from dead_letter.store.archive import catch_up
from dead_letter.store.filters import Filter
from dead_letter.store.parking import Parking
from dead_letter.store.rows import Summary
from dead_letter.store.store import LetterStore
from tests.dead_letter.samples import publish
from tests.tools.forked import SERVER
from topics.cli.console import run
from topics.cli.context import CommandContext
from topics.event.unpark import unpark_of
from topics.log import Partition, Record
from topics.names import DEFAULT
from topics.open import open_log
from topics.settings import Settings
from topics.store import open_store

TOPIC = "writeback.events.hubspot"
SECONDS = 120.0

Work = Callable[[], int]
Program = Callable[[Settings, Sequence[Sequence[str]]], Work]
"""Opens what it works on, and returns the work itself: it says its exit code."""


def command(settings: Settings, commands: Sequence[Sequence[str]]) -> Work:
    """``writeback dead-letters``, once for each of these arguments."""
    return lambda: max(run(dead_letters, CommandContext(lambda: settings), arguments) for arguments in commands)


def park(settings: Settings, keys: Sequence[Sequence[str]]) -> Work:
    """What a worker does with the key of each letter: parks it. ``keys``: letter, key and offset."""
    parking = Parking(open_store(settings.store))

    def work() -> int:
        for letter, key, offset in keys:
            parking.park("hubspot", key, letter, offset=int(offset), barred=False, now=1.0)
        return 0

    return work


def archive(settings: Settings, _: Sequence[Sequence[str]]) -> Work:
    """The archive takes over all letters from the first one again."""
    store, log = LetterStore(open_store(settings.store)), settings.open_log()

    def work() -> int:
        store.rewind(0)
        catch_up(log, store)
        log.close()
        return 0

    return work


class Operator:
    """One process, which does one work after the other. ``folder``: for the file with all that it prints."""

    def __init__(self, folder: Path) -> None:
        self._said = folder / f"operator-{uuid4().hex}.out"
        self._read = 0
        self._signal, theirs = SERVER.Pipe()
        self._process = SERVER.Process(target=_live, args=(theirs, self._said))
        self._process.start()
        theirs.close()

    def begin(self, settings: dict[str, Any], program: Program, given: Sequence[Sequence[str]], ttl: float) -> None:
        self._signal.send((settings, program, given, ttl))

    def ready(self) -> None:
        """Returns when it has opened what it needs."""
        self._answer(SECONDS)

    def go(self) -> None:
        self._signal.send("go")

    def send_signal(self, number: signal.Signals) -> None:
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    def kill(self) -> None:
        self._process.kill()
        self._process.join()

    def finish(self) -> str:
        """What it has said of this work; it has not failed in a way that it does not explain."""
        code = self._answer(SECONDS)
        words = self._words()
        assert code in {0, 1, 3}, words
        assert "Traceback" not in words, words
        assert "the full report is in" not in words, words
        return words

    def _answer(self, seconds: float) -> Any:
        try:
            assert self._signal.poll(seconds), self._words()
            return self._signal.recv()
        except EOFError:
            raise AssertionError(self._words()) from None

    def _words(self) -> str:
        with self._said.open() as file:
            file.seek(self._read)
            words = file.read()
            self._read = file.tell()
            return words


def _live(ours: Connection, said: Path) -> None:
    output = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    with contextlib.suppress(EOFError):  # the tests are over
        while True:
            settings, program, given, claims.TTL_SECONDS = ours.recv()
            work = program(Settings(**settings), given)
            ours.send("ready")
            ours.recv()
            code = work()
            sys.stdout.flush()
            ours.send(code)


class Pool:
    """Processes for one test after the other."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._idle: list[Operator] = []

    def take(self) -> Operator:
        return self._idle.pop() if self._idle else Operator(self._folder)

    def give_back(self, operator: Operator) -> None:
        self._idle.append(operator)

    def close(self) -> None:
        for operator in self._idle:
            operator.kill()


class Operators:
    """A log with letters on it, a store, and processes that work on them."""

    def __init__(self, folder: Path, store: str, pool: Pool) -> None:
        self.settings: dict[str, Any] = {"log": f"sqlite:///{folder}/log.db", "store": store}
        self.log = open_log(self.settings["log"])
        self.log.ensure_topics([*DEFAULT.system_topics, DEFAULT.events_spec("hubspot")])
        self.engine = open_store(store)
        self.store = LetterStore(self.engine)
        self._pool = pool
        self._busy: list[Operator] = []

    def bury(self, letters: Sequence[Letter]) -> None:
        publish(self.log, *letters)

    def start(self, program: Program, given: Sequence[Sequence[str]] = (), *, ttl: float = 30.0) -> Operator:
        operator = self._pool.take()
        self._busy.append(operator)
        operator.begin(self.settings, program, given, ttl)
        return operator

    def go(self, *operators: Operator) -> None:
        """All at once, when each has what it needs."""
        for operator in operators:
            operator.ready()
        for operator in operators:
            operator.go()

    def finish(self, *operators: Operator) -> list[str]:
        """What they have said. Each may be given other work then."""
        said = [operator.finish() for operator in operators]
        for operator in operators:
            self._busy.remove(operator)
            self._pool.give_back(operator)
        return said

    def sent(self) -> list[Record]:
        """Every event that was put back onto its topic."""
        place = Partition(TOPIC, 0)
        end = self.log.end_offsets([place])[place]
        records: list[Record] = []
        reader = self.log.reader({place: 0})
        while len(records) < end:
            records += reader.poll(5.0)
        reader.close()
        return [record for record in records if unpark_of(record) is None]

    def letters(self) -> list[Summary]:
        return list(self.store.in_order(Filter()))

    def close(self) -> None:
        for operator in self._busy:
            operator.kill()
        self.engine.dispose()
        self.log.close()
