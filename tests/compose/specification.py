"""``compose.yaml`` against the Compose specification, and, where Docker's own reader is installed, against that too."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "compose.yaml"
SCHEMA = Path(__file__).with_name("compose-spec.json")

_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")
_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?")


def load(path: Path = COMPOSE) -> dict[str, Any]:
    """The file as a fresh machine sees it: every variable at its default."""
    text = _VARIABLE.sub(lambda variable: variable[2] or "", path.read_text(encoding="utf-8"))
    document: dict[str, Any] = yaml.safe_load(text)
    return document


def without_default(path: Path = COMPOSE) -> list[str]:
    """The variables that a person would have to set first; ``docker compose up --wait`` must need none."""
    text = path.read_text(encoding="utf-8")
    return [variable[1] for variable in _VARIABLE.finditer(text) if variable[2] is None]


def mistakes(document: dict[str, Any]) -> list[str]:
    """A line for each place where the document breaks the specification's schema."""
    validator = Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(document)]


def seconds(duration: str) -> float:
    """The specification's durations: ``30s``, ``1m30s``, ``500ms``."""
    match = _DURATION.fullmatch(duration)
    if not duration or match is None:
        raise ValueError(f"{duration!r} is not a duration of the Compose specification, such as 1m30s")
    hours, minutes, whole, milli = (int(part or 0) for part in match.groups())
    return hours * 3_600 + minutes * 60 + whole + milli / 1_000


def docker_compose() -> list[str] | None:
    """Docker's own reader of the file, which needs no engine; None where it is not installed."""
    for command in (["docker", "compose"], ["docker-compose"]):
        if (
            shutil.which(command[0])
            and subprocess.run([*command, "version"], capture_output=True, check=False).returncode == 0
        ):
            return command
    return None
