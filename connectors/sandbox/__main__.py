"""``python -m connectors.sandbox``: ``writeback sandbox --json`` under its former name, for scripts that have it."""

from __future__ import annotations

import sys

from connectors.sandbox.command import sandbox
from topics.cli.context import CommandContext

if __name__ == "__main__":
    arguments = ["--fail" if word == "--fault" else word.replace("--fault=", "--fail=", 1) for word in sys.argv[1:]]
    sandbox(["--json", "--port", "0", *arguments], prog_name="python -m connectors.sandbox", obj=CommandContext())
