"""Runs a page: every command of its console blocks, in order, in one shell, and compares what it prints.

    $ command                a command; the lines below it are what it prints
    ...                      in them stands for anything, lines included
    <!-- terminal -->        the block below runs in a terminal of its own until the page ends
    <!-- not run -->         the block below is for people only
    <!-- $ command -->       what people do by being slower than a machine: waiting

Moments, ids and runs of blanks are not compared. An id that a command has printed stands in the page's later commands
for the one that was really printed.
"""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

BLOCK = re.compile(
    r"^<!-- \$ (?P<waiting>[^\n]*) -->$|(?:^<!-- (?P<mark>[a-z ]+) -->\n)?^```console\n(?P<block>.*?)^```",
    re.MULTILINE | re.DOTALL,
)
COMMAND = re.compile(r"^\$ (?P<command>.*<<'END'\n(?:.*\n)*?END$|(?:.*\\\n)*.*)$", re.MULTILINE)
CHANGING = re.compile(
    r"(?P<anything>\s*\.\.\.\s*)|(?P<moment>\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ)"
    r"|(?P<event>\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b)|(?P<id>\b[0-9a-f]{12}(?:[0-9a-f]{12})?\b)"
    r"|(?P<blank>\s+)"
)
PATTERNS = {
    "anything": r".*?",
    "moment": r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ",
    "event": r"[0-9a-f-]{36}",
    "blank": r"\s+",
}
DONE = "::done::"


@dataclass(frozen=True, slots=True)
class Step:
    command: str
    expected: str
    terminal: bool = False


def steps(page: str) -> list[Step]:
    """What the page tells people to type, in order."""
    found: list[Step] = []
    for match in BLOCK.finditer(page):
        if match["waiting"]:
            found.append(Step(match["waiting"], ""))
        elif match["mark"] != "not run":
            found += _typed(match["block"], terminal=match["mark"] == "terminal")
    return found


def _typed(block: str, *, terminal: bool) -> list[Step]:
    commands = list(COMMAND.finditer(block))
    ends = [following.start() for following in commands[1:]] + [len(block)]
    return [
        Step(match["command"], block[match.end() : end].strip(), terminal=terminal)
        for match, end in zip(commands, ends, strict=True)
    ]


class Terminal:
    """A shell in ``folder``; ``names`` maps the ids of the page to those that were printed."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._environment = dict(environment)
        self._shell = self._open("bash", "--norc")
        self._others: list[subprocess.Popen[str]] = []
        self._names: dict[str, str] = {}

    def _open(self, *command: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            command,
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def follow(self, step: Step) -> str | None:
        """Do what the step says; what is wrong with what it printed, or None."""
        command = step.command
        for told, printed in self._names.items():
            command = command.replace(told, printed)
        if step.terminal:
            here = self._run("pwd").strip()
            self._others.append(self._open("bash", "--norc", "-c", f"cd '{here}' && exec {command}"))
            return None
        printed = self._run(command)
        match = self._pattern(step.expected).fullmatch(printed.strip())
        if match is None:
            return f"$ {command}\n--- the page says\n{step.expected}\n--- it printed\n{printed}"
        self._names |= {name.removeprefix("id_"): text for name, text in match.groupdict().items()}
        return None

    def _run(self, command: str) -> str:
        shell = self._shell
        assert shell.stdin is not None
        assert shell.stdout is not None
        shell.stdin.write(f"{command}\necho {DONE}\n")
        shell.stdin.flush()
        lines: list[str] = []
        for line in shell.stdout:
            if line.rstrip("\n").endswith(DONE):
                return "".join(lines)
            lines.append(line)
        raise AssertionError(f"the shell ended in: {command}\n{''.join(lines)}")

    def _pattern(self, expected: str) -> re.Pattern[str]:
        seen: set[str] = set()

        def changing(match: re.Match[str]) -> str:
            if match.lastgroup != "id":
                return PATTERNS[str(match.lastgroup)]
            name, repeated = f"id_{match[0]}", match[0] in seen
            seen.add(match[0])
            return f"(?P={name})" if repeated else f"(?P<{name}>[0-9a-f]{{{len(match[0])}}})"

        parts, end = [], 0
        for match in CHANGING.finditer(expected):
            parts += [re.escape(expected[end : match.start()]), changing(match)]
            end = match.end()
        return re.compile("".join([*parts, re.escape(expected[end:])]), re.DOTALL)

    def close(self) -> list[int]:
        """Ctrl-C in the other terminals, the last one first; their exit codes."""
        codes = []
        for process in reversed(self._others):
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=30)
            codes.append(process.returncode)
        self._shell.communicate(timeout=30)
        return codes
