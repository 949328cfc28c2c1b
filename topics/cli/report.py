"""What is written down when something happens that nobody foresaw: a file that can be sent to whoever mends it."""

from __future__ import annotations

import os
import platform
import re
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

HIDDEN = "[redacted]"
FOLDERS = (Path("~/.writeback/reports"), Path(tempfile.gettempdir()))
"""The first that can be written to."""
LIBRARIES = (
    "writeback", "aiohttp", "click", "cryptography", "httpx", "kafka-python", "openpyxl", "pydantic", "SQLAlchemy",
)  # fmt: skip

_PASSWORD_IN_URL = re.compile(r"(?<=://)[^/\s@'\"]+@")
_AUTHORIZATION = re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{6,}")
_JSON = re.compile(r"\s*[\[{]")


class Report:
    """``secrets``: what is hidden wherever it stands, beside what looks like a credential."""

    def __init__(self, error: BaseException, args: Sequence[str], *, secrets: Sequence[str] = ()) -> None:
        self._error = error
        self._args = args
        hidden = {secret for secret in (*secrets, *_given_secrets(args)) if len(secret) >= 4}
        self._hidden = sorted(hidden, key=len, reverse=True)

    def line(self) -> str:
        """What happened, in one line."""
        said = self._without_secrets(" ".join(str(self._error).split()))[:300]
        return f"unexpected {type(self._error).__name__}{f': {said}' if said else ''}"

    def text(self) -> str:
        """Command, versions and traceback."""
        return self._without_secrets("\n".join(_lines(self._error, self._args)))

    def write(self) -> Path | None:
        """Into a file for the user's eyes only; where it is, or None if nothing can be kept."""
        now = datetime.now(UTC)  # noqa: TID251 - the edge: a file's name, nothing is decided by it
        name = f"writeback-{now:%Y%m%dT%H%M%SZ}-{os.getpid()}.txt"
        text = self.text()
        return next(filter(None, (_kept(folder, name, text) for folder in FOLDERS)), None)

    def _without_secrets(self, text: str) -> str:
        for secret in self._hidden:
            text = text.replace(secret, HIDDEN)
        return _PASSWORD_IN_URL.sub(f"{HIDDEN}@", _AUTHORIZATION.sub(rf"\1 {HIDDEN}", text))


def _lines(error: BaseException, args: Sequence[str]) -> Iterator[str]:
    yield f"command: writeback {' '.join(_shown(args))}"
    yield f"python: {platform.python_version()} on {platform.platform()}"
    yield f"versions: {', '.join(f'{name} {_version(name)}' for name in LIBRARIES)}"
    yield ""
    yield "".join(traceback.format_exception(error))


def _shown(args: Sequence[str]) -> Iterator[str]:
    """The command without what it was to send: fields are people's data."""
    for argument in args:
        if _JSON.match(argument):
            yield f"{{{len(argument):,} characters}}"
        else:
            yield repr(argument) if re.search(r"\s|'", argument) or not argument else argument


def _given_secrets(args: Sequence[str]) -> Iterator[str]:
    """VALUE of each ``--secret NAME=VALUE``; a reference to the environment is none."""
    for option, following in zip(args, [*args[1:], ""], strict=False):
        given = following if option == "--secret" else option.removeprefix("--secret=") if "--secret=" in option else ""
        value = given.partition("=")[2]
        if value and not value.startswith("env:"):
            yield value


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def _kept(folder: Path, name: str, text: str) -> Path | None:
    try:
        place = folder.expanduser()
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = place / name
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:  # noqa: PTH123 - of a descriptor
            file.write(text)
    except (OSError, RuntimeError):  # no home folder, a full disk: the next folder, or none
        return None
    return path
