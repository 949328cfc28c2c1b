"""The front door: the command line. It knows the names of the commands; each is loaded when it runs."""

from __future__ import annotations

import gc
import sys
from importlib import import_module
from typing import TYPE_CHECKING

import click

from topics.cli.console import pass_context, run
from topics.cli.context import CommandContext

if TYPE_CHECKING:
    from sqlalchemy import Engine

LOADING_OBJECTS = 10_000
"""Objects made between two looks for garbage. Loading a command makes some hundred thousand, and they all stay."""

SECTIONS: dict[str, dict[str, tuple[str, str]]] = {
    "Run": {
        "demo": ("worker.demo.play:demo", "See the main job at work on this machine, reckoned to the last event."),
        "up": (
            "worker.roles.commands:up",
            "Everything in one process: worker, refresher, relay, scheduler, the archive of dead letters.",
        ),
        "worker": (
            "worker.roles.commands:worker",
            "A worker, one of as many as you like, on the log that WRITEBACK_LOG names.",
        ),
        "refresher": (
            "worker.roles.commands:refresher",
            "Load connections into the warehouse again, as they are asked for.",
        ),
        "relay": ("worker.roles.commands:relay", "Take what triggers wrote in the warehouse to the topics."),
        "scheduler": ("worker.roles.commands:scheduler", "Run syncs when they are due, and look at alerts."),
        "doctor": (
            "worker.observe.doctor_command:doctor",
            "Check log, store, secrets and connections; say what is wrong and what to do.",
        ),
    },
    "Send": {
        "emit": ("pq.cli.emit:emit", "Send one event, or one per line of stdin."),
        "import": ("pq.cli.import_csv:import_csv", "Send an event for each row of a CSV file."),
        "refresh": ("worker.refresher.commands:refresh", "Load a connection's data into the warehouse again."),
    },
    "Look": {
        "results": ("topics.cli.commands:results", "What became of each event: the ledger of outcomes."),
        "refreshes": ("worker.refresher.commands:refreshes", "The refreshes there were, and what they loaded."),
        "verify": ("worker.refresher.verify.command:verify", "Is what was delivered in the warehouse as it was sent?"),
        "topics": ("topics.cli.commands:topics", "The topics of the log, and how far the workers are in each."),
        "dead-letters": (
            "dead_letter.cli.commands:dead_letters",
            "What could not be delivered: list, show, replay, discard.",
        ),
    },
    "Set up": {
        "syncs": (
            "worker.syncs.cli.commands:syncs",
            "A query becomes events, only what changed: plan, run, schedule.",
        ),
        "alerts": ("worker.alerts.commands:alerts", "Tell somebody when a query has rows, or when something is wrong."),
        "triggers": (
            "worker.relay.commands:triggers",
            "Triggers in the warehouse: a change of a row becomes an event.",
        ),
        "connections": ("connectors.cli.commands:connections", "The SaaS accounts that events can be sent to."),
        "sandbox": ("connectors.sandbox.command:sandbox", "A SaaS on this machine, to try everything on."),
        "connectors": (
            "connectors.cli.commands:connectors",
            "The SaaS applications that can be connected, and their objects.",
        ),
    },
}

HELP = """Carries changes from the warehouse back into SaaS applications.

\b
  writeback connections add hubspot --secret access_token=env:HUBSPOT_TOKEN
  writeback up
  writeback emit hubspot add contact '{"email": "john@acme.com"}'
  writeback import contacts.csv --connection hubspot \\
      --object contact --operation upsert --key email
  writeback dead-letters list

Settings come from WRITEBACK_... variables, .env and writeback.toml; without any, everything is kept in ~/.writeback
on this machine. Exit codes: 0 done, 1 failed, 2 wrong usage or settings, 3 not everything was done.
"""


HELD_BACK = frozenset({"paused", "quarantined", "down", "held"})
"""What is put onto the topic of a connection in one of these states stays there until somebody ends it."""


class LazyGroup(click.Group):
    """Loads a command's room only when that command runs: help is read often, and should be there at once."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - the signature is click's
        return [name for section in SECTIONS.values() for name in section]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        for section in SECTIONS.values():
            if cmd_name in section:
                module, _, attribute = section[cmd_name][0].partition(":")
                command: click.Command = getattr(import_module(module), attribute)
                return command
        return None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        width = max(len(name) for section in SECTIONS.values() for name in section)
        for title, section in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), about) for name, (_, about) in section.items()])


@click.group(cls=LazyGroup, help=HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="writeback", message="writeback %(version)s")
@click.option("--debug", is_flag=True, help="Show the traceback of whatever fails; WRITEBACK_DEBUG=true does, too.")
@pass_context
def cli(context: CommandContext, *, debug: bool) -> None:
    context.debug = debug


def _held_back(context: CommandContext) -> dict[str, str]:
    from connectors.connections.store import Connections  # noqa: PLC0415 - only a replay asks

    standings = Connections(context.store(), context.settings.secret_key).standings()
    return {slug: f"{slug} is {standing}" for slug, standing in standings.items() if standing.state in HELD_BACK}


def main() -> None:
    gc.set_threshold(LOADING_OBJECTS)
    sys.exit(run(cli, CommandContext(held_back=_held_back, slugs_in=_own_slugs)))


def _own_slugs(store: Engine) -> set[str]:
    """The connections of a store, and what was dead-lettered in it on purpose for connections that are none."""
    from connectors.connections.store import Connections  # noqa: PLC0415
    from topics.store.orders import Orders  # noqa: PLC0415

    return {*Connections(store).revisions(), *Orders(store).buried()}


if __name__ == "__main__":
    main()
