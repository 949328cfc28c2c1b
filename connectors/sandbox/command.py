"""``writeback sandbox``: a SaaS on this machine, to try everything on before a real account is at stake."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import click

from connectors.sandbox.connecting import VENDORS, line
from connectors.sandbox.faults import Faults
from connectors.sandbox.hubspot import HubSpot
from connectors.sandbox.odoo.wires import Odoo
from connectors.sandbox.outage import Outage
from connectors.sandbox.salesforce.rest import Salesforce
from connectors.sandbox.server import Sandbox
from connectors.sandbox.sheets.rest import Sheets
from connectors.sandbox.slack import Slack
from connectors.sandbox.xero.wires import Xero
from topics.cli.console import json_option, pass_context, print_json, say
from topics.cli.context import CommandContext


@click.command()
@click.argument("vendor", required=False, type=click.Choice(VENDORS))
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(0, 65_535), default=8100, help="0: any free one.", show_default=True)
@click.option("--seed", default=0, help="Another seed, other requests that fail.", show_default=True)
@click.option("--latency", default=0.05, help="Seconds per request.", show_default=True)
@click.option(
    "--fail", "faults", multiple=True, metavar="[VENDOR.]NAME=VALUE", help="What goes wrong, and how often; see above."
)
@click.option("--outage-seconds", default=0.0, help="One outage of this length.")
@click.option("--outage-after", type=int, help="It begins after so many requests.")
@click.option("--outage-at", type=float, help="It begins so many seconds after the start.")
@click.option("--outage-kind", type=click.Choice(["refuse", "unavailable"]), default="refuse", show_default=True)
@click.option("--rate", default=0, help="HubSpot: requests per 10 s and token; 0: no limit.")
@click.option("--daily", default=0, help="HubSpot: requests per day; 0: no limit.")
@click.option("--search-lag", default=1.0, help="HubSpot: seconds until the search sees a write.", show_default=True)
@click.option("--slack-rate", default=1.0, help="Slack: messages per second and channel; 0: no limit.")
@click.option("--slack-burst", default=3, show_default=True)
@click.option("--open-channels", is_flag=True, help="Slack: any name is a channel.")
@click.option("--odoo-version", default=18, help="Odoo: JSON-2 is there from 19 on.", show_default=True)
@click.option("--odoo-database", default="odoo", show_default=True)
@click.option("--sheets-rate", default=0, help="Google Sheets: reads, and writes, per minute; 0: no limit.")
@click.option("--xero-rate", default=0, help="Xero: requests per minute; 0: no limit.")
@click.option("--xero-at-once", default=0, help="Xero: requests at once; 0: no limit.")
@click.option("--salesforce-daily", default=0, help="Salesforce: requests per day; 0: no limit.")
@click.option("--token", "tokens", multiple=True, help="The tokens that are good; none given: any is.")
@click.option("--journal", type=click.Path(path_type=Path), help="Append each ledger entry to this file.")
@click.option("--no-ledger", is_flag=True, help="Count only: for millions of requests.")
@json_option
@pass_context
def sandbox(context: CommandContext, /, *, vendor: str | None, as_json: bool, **options: Any) -> None:
    """A SaaS on this machine that answers as the vendors do, keeps what it is sent, and fails on request.

    \b
      writeback sandbox                                 all of them, at one address
      writeback sandbox hubspot --rate 100              with the quota of a free account
      writeback sandbox slack --fail throttled=0.05 --fail hung_performed=0.01
      writeback sandbox odoo --odoo-version 19 --outage-seconds 30 --outage-at 10

    It runs until Ctrl-C, prints the command that makes a connection to it, and forgets everything when it ends.

    \b
    What --fail takes; each but the last four is a share of the requests, 0.05 being one in twenty:
      throttled                                         429
      unavailable, hung, dropped                        503; no answer; the connection is reset
      unavailable_performed, hung_performed, dropped_performed
                                                        the same, after it has done what was asked
      retry_after=SECONDS                               what a 429 says; null: nothing
      reads=true                                        reads fail as well as writes
      refused_domains=DOMAIN,...                        whose email addresses are refused (refused.example)
      refused_marker=TEXT                               a value with it in it is refused (!refused!)

    \b
    While it runs:
      GET  /_sandbox/state, /_sandbox/ledger            what is in it, and every request there was
      POST /_sandbox/faults                             {"vendor": "hubspot", "throttled": 0.1}
    """  # noqa: D301 - click's own mark for lines that it shall not join
    made, shown = _sandbox(options), (vendor,) if vendor else VENDORS
    token = next(iter(options["tokens"]), "any")
    has_key = as_json or bool(context.settings.secret_key)

    def tell(url: str) -> None:
        lines = {one: line(one, url, token=token, database=options["odoo_database"]) for one in shown}
        if as_json:
            print_json({"url": url, "pid": os.getpid(), "connect": lines})
        else:
            _tell(url, list(lines.values()), has_key=has_key)

    asyncio.run(_run(made, tell))


def _sandbox(options: dict[str, Any]) -> Sandbox:
    tokens = frozenset(options["tokens"]) or None
    faults = {vendor: _faults(options["faults"], vendor) for vendor in VENDORS}
    outage = Outage(
        options["outage_seconds"], options["outage_after"], options["outage_at"], options["outage_kind"]
    )  # fmt: skip
    return Sandbox(
        host=options["host"],
        port=options["port"],
        seed=options["seed"],
        latency=options["latency"],
        faults=faults,
        outage=outage if outage.seconds else None,
        hubspot=HubSpot(
            faults["hubspot"],
            rate=options["rate"],
            daily=options["daily"],
            tokens=tokens,
            search_lag=options["search_lag"],
        ),
        slack=Slack(
            faults["slack"],
            per_second=options["slack_rate"],
            burst=options["slack_burst"],
            tokens=tokens,
            open_channels=options["open_channels"],
        ),
        salesforce=Salesforce(faults["salesforce"], daily=options["salesforce_daily"], tokens=tokens),
        sheets=Sheets(faults["google_sheets"], rate=options["sheets_rate"], tokens=tokens),
        xero=Xero(
            faults["xero"],
            per_minute=options["xero_rate"],
            at_once=options["xero_at_once"],
            latency=options["latency"] if options["xero_at_once"] else 0.0,
        ),
        odoo=Odoo(faults["odoo"], version=options["odoo_version"], database=options["odoo_database"]),
        journal=options["journal"],
        keep=not options["no_ledger"],
    )


def _faults(given: tuple[str, ...], vendor: str) -> Faults:
    """What goes wrong at this vendor. Raises ``click.UsageError``."""
    faults = Faults()
    for item in given:
        name, _, value = item.partition("=")
        prefix, dot, rest = name.rpartition(".")
        if dot and prefix not in VENDORS:
            raise click.UsageError(f"--fail {item}: no vendor {prefix!r}; there are {', '.join(VENDORS)}")
        if dot and prefix != vendor:
            continue
        try:
            faults = faults.changed(**{rest: value if rest.startswith("refused") else json.loads(value)})
        except json.JSONDecodeError as error:
            raise click.UsageError(f"--fail {item}: it is NAME=VALUE, like throttled=0.05") from error
        except ValueError as error:
            raise click.UsageError(f"--fail {item}: {error}") from error
    return faults


async def _run(sandbox: Sandbox, tell: Callable[[str], None]) -> None:
    """Until SIGTERM or SIGINT; ``tell`` hears the address when it listens."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with AsyncExitStack() as running:
        try:
            await running.enter_async_context(sandbox)
        except OSError as error:
            raise click.ClickException(f"{error.strerror or error}: --port 0 takes any free port") from error
        tell(sandbox.url)
        await stop.wait()


def _tell(url: str, lines: Sequence[str], *, has_key: bool) -> None:
    say(f"It listens on {url} until Ctrl-C. In another terminal:\n")
    if not has_key:
        say("  export WRITEBACK_SECRET_KEY=any-long-random-text   # once, for the worker as well")
    for one in lines:
        say(f"  {one}")
    say(f"\nWhat it holds: {url}/_sandbox/state")
