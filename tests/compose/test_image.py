from __future__ import annotations

import json
import tomllib
from pathlib import Path

from tests.compose.specification import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
LINES = [line.split(maxsplit=1) for line in DOCKERFILE.splitlines() if line and not line.startswith("#")]
FINAL_STAGE = LINES[max(number for number, line in enumerate(LINES) if line[0] == "FROM") :]


def _last(instruction: str) -> str:
    return next(line[1] for line in reversed(FINAL_STAGE) if line[0] == instruction)


def _copied() -> list[str]:
    sources: list[str] = []
    for line in LINES:
        if line[0] == "COPY" and not line[1].startswith("--from"):
            sources += line[1].split()[:-1]
    return sources


def test_the_image_does_not_run_as_root() -> None:
    """The last word on the user is not root."""
    assert _last("USER") not in {"root", "0"}


def test_signals_reach_the_program() -> None:
    """The entry point is in exec form behind tini, so that SIGTERM is not swallowed by a shell."""
    assert json.loads(_last("ENTRYPOINT")) == ["tini", "--", "writeback"]


def test_everything_copied_is_here_and_not_ignored() -> None:
    """Each COPY source exists and .dockerignore lets it through."""
    let_through = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}

    assert [source for source in _copied() if not (ROOT / source).exists()] == []
    assert set(_copied()) == let_through


def test_every_room_is_copied() -> None:
    """The image has all the packages that pyproject.toml lists."""
    find = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]
    context = {pattern.rstrip("*") for pattern in find["include"]}

    assert context <= {Path(source).name for source in _copied()}


def test_the_image_installs_the_tested_versions() -> None:
    """pip is held to constraints.txt."""
    installs = [line[1] for line in LINES if line[0] == "RUN" and "pip install" in line[1]]

    assert installs
    assert all("--constraint constraints.txt" in line for line in installs)
