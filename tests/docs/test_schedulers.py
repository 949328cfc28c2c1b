"""The files for cron, GitHub Actions, Airflow and Dagster: each is read, and its commands are ours."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import click
import pytest
import yaml
from croniter import croniter

from writeback import cli

FOLDER = Path(__file__).parents[2] / "docs/how-to/schedulers"
FILES = sorted(FOLDER.iterdir())


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.name))
def test_each_file_is_what_it_says(file: Path) -> None:
    """Python that compiles, YAML with the parts that GitHub wants, five fields of cron."""
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".py":
        assert ast.parse(text).body
    elif file.suffix == ".yaml":
        steps = yaml.safe_load(text)["jobs"]["sync"]["steps"]
        assert all("uses" in step or "run" in step for step in steps)
    else:
        (line,) = [line for line in text.splitlines() if line and not line.startswith("#")]
        assert croniter.is_valid(" ".join(line.split()[:5]))


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.name))
def test_the_commands_in_it_exist(file: Path) -> None:
    """With their options."""
    text = re.sub(r'",\s*"', " ", file.read_text(encoding="utf-8"))
    found = re.findall(r"writeback (syncs [a-z]+ [^\n\"'`\]]*)", text)
    assert found
    for line in found:
        name, *rest = shlex.split(line.partition(" --json")[0])[1:]
        group = cli.get_command(click.Context(cli), "syncs")
        assert isinstance(group, click.Group)
        command = group.commands[name]
        known = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in rest if word.startswith("--")} <= known
