"""``writeback doctor``; ``up`` and ``worker``, which wire all the rooms, are in ``writeback.py``."""

from __future__ import annotations

from dataclasses import asdict

import click

from topics.cli.console import FAILED, OK, escaped, json_option, pass_context, print_json, progress
from topics.cli.context import CommandContext

MARKS = {"ok": click.style("ok     ", fg="green"), "warning": click.style("warning", fg="yellow")}
WRONG = click.style("wrong  ", fg="red", bold=True)


@click.command()
@json_option
@pass_context
def doctor(context: CommandContext, /, *, as_json: bool) -> int:
    """Check settings, log, store, secrets, every connection's credentials, lag and dead letters.

    Says what is wrong and what to do about it. Exit code 1 when something is wrong; warnings alone are 0.
    """
    from worker.observe.doctor import examine  # noqa: PLC0415 - help needs none of it

    findings = []
    with progress("looking") as advance:
        for finding in examine(context):
            findings.append(finding)
            advance(1)
            if not as_json:
                said = finding.said.replace("\n", "\n" + " " * 9)
                click.echo(f"{MARKS.get(finding.state, WRONG)}  {escaped(f'{finding.check}: {said}')}")
    wrong = sum(finding.state == "wrong" for finding in findings)
    if as_json:
        print_json({"ok": not wrong, "findings": [asdict(finding) for finding in findings]})
    return FAILED if wrong else OK
