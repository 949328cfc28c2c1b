"""``writeback demo``: the play, scene by scene."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections import Counter
from pathlib import Path

import click

from worker.demo.reckoning import expected_contacts, reckon, reckon_warehouse
from worker.demo.scripts import ALERTS, NEW_LEADS, REFRESH, STAGES
from worker.demo.show import Show
from worker.demo.stage import Sandbox, Stage, StageError

CONTACTS = Path(__file__).with_name("contacts.csv")
SLUGS = ("hubspot", "slack")
DELIVERY_SECONDS = 120.0

TROUBLE = [
    # In the order of the requests: what a SaaS does to you on an ordinary day.
    {"kind": "throttled", "retry_after": 1.0},
    {"kind": "unavailable"},
    {"kind": "hung", "performed": True},
    {"kind": "throttled", "retry_after": None},
    {"kind": "dropped", "performed": True},
    {"kind": "hung"},
]


@click.command()
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    help="Play here and keep everything; default: a folder that is removed.",
)
def demo(folder: Path | None) -> int:
    """Show the main job at work on this machine, and reckon every event.

    Starts a sandbox SaaS that answers like HubSpot and Slack, with throttling, 503s, time-outs and an outage of three
    seconds; imports a CSV, streams alerts, replays the dead letters, loads the changes into a warehouse again, and
    checks all against what the sandbox really received. Exit code 1 if a single event is missing, doubled or out of
    order, or the warehouse differs.
    """
    if folder is not None:
        return _play(folder.resolve())
    scratch = Path(tempfile.mkdtemp(prefix="writeback-demo-"))
    try:
        return _play(scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _play(folder: Path) -> int:
    show = Show()
    began = time.monotonic()
    with Stage(folder, env={"DEMO_TOKEN": "pat-demo"}) as stage:
        shutil.copy(CONTACTS, folder / "contacts.csv")
        hubspot, slack = _set_up(stage, show)
        worker = stage.worker()
        waiting = _send(stage, show)
        show.follow(stage, SLUGS, within=DELIVERY_SECONDS)
        waiting.wait(DELIVERY_SECONDS)
        corrected, given_up = _mend(stage, show)
        show.follow(stage, SLUGS, within=DELIVERY_SECONDS)
        _refresh(stage, show)
        stage.stop(worker)
        emitted = _emitted(stage) - len(corrected) - 1  # replays are the same events again
        contacts = expected_contacts(folder / "contacts.csv", corrected, given_up)
        crm, chat = hubspot.state(), slack.state()
        reckoning = reckon(
            crm, chat, hubspot.ledger(), stage.results(), emitted=emitted, contacts=contacts, discarded=len(given_up)
        )
        reckon_warehouse(reckoning, stage.json("refreshes"), stage.warehouse_rows("hubspot", "contact"), contacts)
        show.title(f"The reckoning, after {time.monotonic() - began:.0f} s")
        show.reckoning(reckoning)
        answers = _answers(hubspot) + _answers(slack)
    if reckoning.faults:
        show.say("\n[red bold]Not everything is accounted for.[/red bold]")
        return 1
    show.say(
        f"\nThe two answered 429 {answers['429']} times and 503 {answers['503']} times, left {answers['hung']} requests"
        f" hanging and cut {answers['dropped']} off; HubSpot was out for 3 s. "
        "[green bold]Nothing was lost, doubled or out of order.[/green bold]"
        "\nNext: docs/tutorial.md, or writeback --help"
    )
    return 0


def _set_up(stage: Stage, show: Show) -> tuple[Sandbox, Sandbox]:
    show.title("Two applications that are having an ordinary day")
    hubspot = stage.sandbox("--seed", "7", "--outage-seconds", "3", "--outage-after", "24", name="hubspot")
    slack = stage.sandbox("--seed", "8", name="slack")
    show.say(f"{hubspot.url} answers like HubSpot: 429, 503, time-outs, resets; and it goes out for 3 s.")
    show.say(f"{slack.url} answers like Slack: one message a second per channel, 429, 503.")
    show.title("Two connections")
    for name, base in (("Hubspot", hubspot.url), ("Slack", f"{slack.url}/api")):
        _type(
            stage, show, "connections", "add", name, "--connector", name.lower(), "--set", f"base_url={base}",
            "--set", "allow_private_addresses=true", "--set", "timeout_seconds=2",
            "--secret", "access_token=env:DEMO_TOKEN",
        )  # fmt: skip
    hubspot.faults(forced=TROUBLE)
    slack.faults(throttled=0.1, unavailable=0.05, retry_after=1.0)
    return hubspot, slack


def _send(stage: Stage, show: Show) -> subprocess.Popen[bytes]:
    """Returns the script that waits for its receipts."""
    show.title("A thousand contacts from a CSV, alerts from a script, changes that must stay in order")
    show.say("[dim]# alerts.py[/dim]")
    show.output(ALERTS)
    alerts = stage.script(ALERTS, name="alerts")
    _type(
        stage, show, "import", "contacts.csv", "--connection", "hubspot", "--object", "contact",
        "--operation", "upsert", "--key", "email",
    )  # fmt: skip
    stages = stage.script(STAGES, name="stages")
    leads = stage.script(NEW_LEADS, name="new_leads")
    for process in (alerts, stages):
        if process.wait(60):
            raise StageError(f"{process.args!r} failed: see {stage.folder}")
    return leads


def _mend(stage: Stage, show: Show) -> tuple[dict[str, str], set[str]]:
    """Look at what died, correct it, send it again; which emails became which, and which were given up."""
    show.title("What could not be delivered, by reason")
    _type(stage, show, "dead-letters", "groups")
    show.title("Correct, give up, replay")
    corrected: dict[str, str] = {}
    given_up: set[str] = set()
    for letter in stage.json("dead-letters", "list", "--limit", "1000"):
        fields = stage.json("dead-letters", "show", letter["id"])["event"]["fields"]
        edit = ["dead-letters", "edit", letter["id"][:12]]
        if letter["connection"] == "slack":
            _type(stage, show, *edit, "--set", "channel=alerts")
        elif "!refused!" in fields["lastname"]:
            given_up.add(fields["email"])
            _type(stage, show, "dead-letters", "discard", letter["id"][:12], "--reason", "test record", "--yes")
        else:
            email = fields["email"].replace("@refused.example", "@mended.example").replace(".invalid", ".example")
            corrected[fields["email"]] = email
            _type(stage, show, *edit, "--set", f"email={email}", "--key", email, quiet=len(corrected) > 1)
    _type(stage, show, "dead-letters", "replay", "--all", "--yes")
    return corrected, given_up


def _refresh(stage: Stage, show: Show) -> None:
    """The changes come back into the warehouse: asked for a hundred and one times, loaded once."""
    show.title("One refresh, however often it is asked for: the changes are in the warehouse")
    show.say("[dim]# refresh.py[/dim]")
    show.output(REFRESH)
    script = stage.script(REFRESH, name="refresh")
    if script.wait(DELIVERY_SECONDS):
        raise StageError(f"refresh.py failed: see {stage.folder}")
    _type(stage, show, "refreshes")


def _type(stage: Stage, show: Show, *arguments: str, quiet: bool = False) -> None:
    show.types(["writeback", *arguments])
    done = stage.writeback(*arguments)
    if done.stdout.strip() and not quiet:
        show.output(done.stdout)


def _answers(sandbox: Sandbox) -> Counter[str]:
    """How often each outcome was answered, per request: a batch of a hundred is one."""
    return Counter({entry["request"]: entry["outcome"] for entry in sandbox.ledger()}.values())


def _emitted(stage: Stage) -> int:
    return sum(lag.end for lag in stage.log.lag(stage.log.names.worker_group, stage.log.names.events_prefix).values())
