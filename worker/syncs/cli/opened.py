"""Opens what the commands of syncs work on: the folder of definitions, and the runner."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from topics.cli.context import CommandContext

if TYPE_CHECKING:
    from worker.syncs.run.run import Runner

name_argument = click.argument("name")


def folder_of(context: CommandContext) -> Path:
    """The folder of the definitions."""
    return context.settings.syncs.expanduser()


def runner_of(context: CommandContext) -> Runner:
    from worker.clock import SystemClock  # noqa: PLC0415 - help needs none of it
    from worker.syncs.run.run import Runner  # noqa: PLC0415

    return Runner(context.settings, context.store(), context.log(), SystemClock())
