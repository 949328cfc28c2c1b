"""``writeback syncs run``: sends what has changed, and with --wait waits for the outcome."""

from __future__ import annotations

import time
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

import click

from topics.cli.console import INCOMPLETE, OK, json_option, note, pass_context, print_json, progress, say
from topics.cli.context import CommandContext
from worker.syncs.cli.opened import folder_of, name_argument, runner_of
from worker.syncs.cli.output import told

if TYPE_CHECKING:
    from worker.syncs.run.run import Ended, Runner
    from worker.syncs.state.runs import Run

LOOK_S = 0.5
BUSY_S = 20.0
"""Seconds to wait for a run that is under way; longer than the lease of a dead process lasts."""


@click.command()
@name_argument
@click.option(
    "--plan",
    "plan_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Do exactly what `plan --out FILE` said.",
)
@click.option("--failed", is_flag=True, help="Send rows again whose last event is a dead letter.")
@click.option("--yes", is_flag=True, help="Whatever the guards say.")
@click.option("--wait", is_flag=True, help="Wait until all is delivered or dead, and show how far it is.")
@click.option("--timeout", type=click.FloatRange(min=0), help="With --wait: so many seconds at most (exit code 3).")
@json_option
@pass_context
def run(context: CommandContext, /, *, name: str, as_json: bool, wait: bool, timeout: float | None, **said: Any) -> int:
    """Send what has changed since the last run.

    \b
      writeback syncs run customers --wait
      writeback syncs run customers --plan customers.plan
      writeback syncs run customers --failed

    It returns when the log has every event; a worker delivers them (`writeback up`). Cut off at any moment (Ctrl-C,
    kill -9), the next run goes on: no row is lost, and none is sent twice.

    Exit codes: 0 all sent (with --wait: all delivered); 1 it failed, or a guard stopped it; 3 rows that cannot be sent,
    and with --wait dead letters or events that are still on their way.
    """  # noqa: D301 - click's own mark, a real backspace
    from worker.syncs.definition.load import SYNCS  # noqa: PLC0415 - help needs none of it

    if timeout is not None and not wait:
        raise click.UsageError("--timeout is for --wait")
    if said["failed"] and said["plan_file"]:
        raise click.UsageError("--failed belongs to the plan: writeback syncs plan NAME --failed --out FILE")
    sync, runner = SYNCS.find(folder_of(context), name), runner_of(context)
    if said["failed"] and sync.mode == "full":
        raise click.UsageError(f"{name} has mode full: every run sends all rows, whatever became of them")
    ended = _run(runner, sync, said)
    final = _await(runner, ended.run, timeout) if wait else ended.run
    return _tell(final, ended, waited=wait, as_json=as_json)


def _run(runner: Runner, sync: Any, said: dict[str, Any]) -> Ended:
    from worker.syncs.plan.file import PlanFile  # noqa: PLC0415
    from worker.syncs.run.run import Asked  # noqa: PLC0415

    bars = _Bars(sync.name)
    asked = Asked(
        by="writeback syncs run",
        yes=said["yes"],
        failed=said["failed"],
        plan=PlanFile(said["plan_file"]) if said["plan_file"] else None,
        patience=BUSY_S,
        reading=bars.reading,
        planned=bars.planned,
        sending=bars.sending,
    )
    try:
        return runner.run(sync, asked)
    finally:
        bars.close()


class _Bars:
    """One bar while rows are read, and another one while events are sent."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._bar = progress(f"reading {name}", None)
        self._advance = self._bar.__enter__()

    def reading(self, count: int) -> None:
        self._advance(count)

    def planned(self, total: int) -> None:
        self.close()
        self._bar = progress(f"sending {self._name}", total)
        self._advance = self._bar.__enter__()

    def sending(self, count: int) -> None:
        self._advance(count)

    def close(self) -> None:
        self._bar.__exit__(None, None, None)


def _await(runner: Runner, run: Run, timeout: float | None) -> Run:
    """Wait until every event of the run has an outcome, or the time is up."""
    from worker.syncs.state.runs import Runs  # noqa: PLC0415

    deadline = float("inf") if timeout is None else time.monotonic() + timeout
    runs, outcomes, pause = Runs(runner.store), runner.outcomes(), Event()
    done = 0
    with progress(f"delivering {run.sync}", run.sent) as advance:
        while True:
            outcomes.catch_up()
            now = runs.get(run.id)
            assert now is not None
            advance(now.sent - now.pending - done)
            done = now.sent - now.pending
            if not now.pending or time.monotonic() >= deadline:
                return now
            pause.wait(LOOK_S)


def _tell(run: Run, ended: Ended, *, waited: bool, as_json: bool) -> int:
    incomplete = run.refused or (waited and (run.dead or run.pending))
    if as_json:
        print_json(told(run) | {"refused_rows": [{"key": one.key, "reason": one.reason} for one in ended.refused]})
        return INCOMPLETE if incomplete else OK
    counted = [f"{run.read:,} read", f"{run.unchanged:,} unchanged", f"{run.sent:,} sent"]
    if waited:
        counted += [f"{run.delivered:,} delivered", f"{run.dead:,} dead", f"{run.pending:,} pending"]
    say(f"{run.sync}: {', '.join(counted)}")
    if run.attempt > 1:
        note(f"It went on with a run that was cut off (attempt {run.attempt}).")
    if run.refused:
        note(f"{run.refused:,} rows cannot be sent:")
        for one in ended.refused[:5]:
            note(f"  {'' if one.key is None else f'{one.key}: '}{one.reason}")
    if run.held:
        note(f"{run.held:,} unchanged rows are dead letters of earlier runs: --failed sends them again.")
    if run.dead:
        note("See `writeback dead-letters list`; `--failed` sends the rows again.")
    if waited and run.pending:
        note("What is pending goes on by itself; does a worker run? (writeback up)")
    elif not waited and run.sent:
        note(f"A worker delivers them; `writeback syncs runs {run.sync}` shows how far it is.")
    return INCOMPLETE if incomplete else OK
