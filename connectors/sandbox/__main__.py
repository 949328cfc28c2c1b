"""``python -m connectors.sandbox``: prints one JSON line with its address, runs until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Any

import click

from connectors.sandbox.faults import Faults
from connectors.sandbox.hubspot import HubSpot
from connectors.sandbox.odoo.wires import Odoo
from connectors.sandbox.outage import Outage
from connectors.sandbox.salesforce.rest import Salesforce
from connectors.sandbox.server import Sandbox
from connectors.sandbox.sheets.rest import Sheets
from connectors.sandbox.slack import Slack
from connectors.sandbox.xero.wires import Xero


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=0, help="0: any free one.", show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--latency", default=0.05, help="Seconds per request.", show_default=True)
@click.option("--fault", "faults", multiple=True, metavar="[VENDOR.]NAME=VALUE", help="e.g. hubspot.throttled=0.05")
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
def main(**options: Any) -> None:
    """A local SaaS that answers like HubSpot, Slack, Odoo, Salesforce, Google Sheets and Xero, and fails on request."""
    asyncio.run(_run(_sandbox(options)))


def _sandbox(options: dict[str, Any]) -> Sandbox:
    tokens = frozenset(options["tokens"]) or None
    hubspot, slack = _faults(options["faults"], "hubspot"), _faults(options["faults"], "slack")
    outage = Outage(
        options["outage_seconds"], options["outage_after"], options["outage_at"], options["outage_kind"]
    )  # fmt: skip
    return Sandbox(
        host=options["host"],
        port=options["port"],
        seed=options["seed"],
        latency=options["latency"],
        faults=hubspot,
        slack_faults=slack,
        outage=outage if outage.seconds else None,
        hubspot=HubSpot(
            hubspot, rate=options["rate"], daily=options["daily"], tokens=tokens, search_lag=options["search_lag"]
        ),
        slack=Slack(
            slack,
            per_second=options["slack_rate"],
            burst=options["slack_burst"],
            tokens=tokens,
            open_channels=options["open_channels"],
        ),
        salesforce=Salesforce(hubspot, daily=options["salesforce_daily"], tokens=tokens),
        sheets=Sheets(hubspot, rate=options["sheets_rate"], tokens=tokens),
        xero=Xero(
            hubspot,
            per_minute=options["xero_rate"],
            at_once=options["xero_at_once"],
            latency=options["latency"] if options["xero_at_once"] else 0.0,
        ),
        odoo=Odoo(hubspot, version=options["odoo_version"], database=options["odoo_database"]),
        journal=options["journal"],
        keep=not options["no_ledger"],
    )


def _faults(given: tuple[str, ...], vendor: str) -> Faults:
    faults = Faults()
    for item in given:
        name, _, value = item.partition("=")
        prefix, dot, rest = name.partition(".")
        if dot and prefix != vendor:
            continue
        name = rest if dot else name
        text = name.startswith("refused")
        try:
            faults = faults.changed(**{name: value if text else json.loads(value)})
        except ValueError as error:
            raise click.UsageError(f"--fault {item}: {error}") from error
    return faults


async def _run(sandbox: Sandbox) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with sandbox:
        click.echo(json.dumps({"url": sandbox.url, "pid": os.getpid()}))
        await stop.wait()


if __name__ == "__main__":
    main()
