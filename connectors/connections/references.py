"""Secrets that are kept somewhere else, and read each time they are used.

    env:NAME           an environment variable of the process that uses it
    file:/PATH         a file, for mounted secrets; without the line break at its end
    exec:COMMAND       what a command prints, as in ``exec:vault kv get -field=token secret/crm``; run without a shell

What a reference leads to is never stored, logged or shown; the reference itself is shown.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from connectors.errors import BadSecret

ENV: Final = "env:"
FILE: Final = "file:"
EXEC: Final = "exec:"
COMMAND_SECONDS: Final = 30.0
MAX_BYTES: Final = 65_536

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def is_reference(value: str) -> bool:
    return value.startswith((ENV, FILE, EXEC))


def checked(reference: str) -> str:
    """The reference, when it is one that can be followed at all. Raises ``BadSecret``."""
    kind, _, rest = reference.partition(":")
    if kind == "env" and not _NAME.fullmatch(rest):
        raise BadSecret("a reference to a variable is env:NAME, the name of letters, digits and underscores only")
    if kind == "file" and not rest.startswith(("/", "~/")):
        raise BadSecret("a reference to a file is file:/PATH, from the root: workers run in other folders")
    if kind == "exec":
        _words(rest)
    return reference


def follow(reference: str, environ: Mapping[str, str] = os.environ) -> str:
    """The secret itself. Raises ``BadSecret``, which names the reference and nothing of the secret."""
    kind, _, rest = checked(reference).partition(":")
    match kind:
        case "env":
            return _of_variable(rest, environ)
        case "file":
            return _of_file(Path(rest).expanduser())
        case _:
            return _of_command(_words(rest))


def _of_variable(name: str, environ: Mapping[str, str]) -> str:
    if not environ.get(name):
        raise BadSecret(f"the environment variable {name} is not set; the secret is a reference to it")
    return environ[name]


def _of_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise BadSecret(
            f"the file {path} cannot be read ({error.strerror}); the secret is a reference to it"
        ) from error
    return _text(content, f"the file {path}")


def _of_command(words: list[str]) -> str:
    name = words[0]
    try:
        done = subprocess.run(  # noqa: S603 - that is what whoever added the connection asked for
            words, stdin=subprocess.DEVNULL, capture_output=True, timeout=COMMAND_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        # `from None`: the error holds what the command has printed so far
        raise BadSecret(
            f"the command {name} did not end in {COMMAND_SECONDS:g} s; the secret is what it prints"
        ) from None
    except OSError as error:
        raise BadSecret(f"the command {name} cannot be run ({error.strerror}); the secret is what it prints") from error
    if done.returncode:
        raise BadSecret(
            f"the command {name} ended with exit code {done.returncode}; the secret is what it prints. Run it by hand "
            "as the worker's user to see why: what it says is not kept, as it may hold secrets"
        )
    return _text(done.stdout, f"the command {name}")


def _words(command: str) -> list[str]:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise BadSecret(f"a reference to a command is exec:COMMAND, quoted as for a shell: {error}") from None
    if not words:
        raise BadSecret("a reference to a command is exec:COMMAND, as in exec:pass show hubspot")
    return words


def _text(content: bytes, source: str) -> str:
    if len(content) > MAX_BYTES:
        raise BadSecret(f"{source} gives more than {MAX_BYTES // 1024} KiB; that is no secret")
    try:
        text = content.decode().strip("\r\n")
    except UnicodeDecodeError:
        raise BadSecret(f"{source} gives what is not UTF-8 text") from None
    if not text:
        raise BadSecret(f"{source} gives nothing; the secret is a reference to it")
    return text
