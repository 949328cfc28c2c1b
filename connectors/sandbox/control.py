"""The sandbox's own endpoints, under ``/_sandbox/``: what it has seen, and what goes wrong from now on.

GET  /_sandbox/state           records, messages, quotas, counts
GET  /_sandbox/ledger          ?after=0&limit=...: every entry in order
POST /_sandbox/faults          {"throttled": 0.1, ...}; "vendor": "hubspot" (slack, odoo, ...) for one of them;
"forced": [{"kind": "dropped", "performed": true}, ...] for the next requests, or the next with "path" in theirs;
"latency": 0.2; "outage": {"seconds": 3, "kind": "refuse" | "unavailable"}
POST /_sandbox/ledger/clear
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Protocol

from aiohttp import web
from pydantic_core import from_json

from connectors.sandbox.call import Answer, answer
from connectors.sandbox.faults import Dice, Fate
from connectors.sandbox.hubspot import HubSpot
from connectors.sandbox.ledger import Ledger
from connectors.sandbox.odoo.wires import Odoo
from connectors.sandbox.outage import Outage
from connectors.sandbox.salesforce.rest import Salesforce
from connectors.sandbox.sheets.rest import Sheets
from connectors.sandbox.slack import Slack
from connectors.sandbox.xero.wires import Xero


class Controlled(Protocol):
    """What these endpoints show and change: the sandbox that serves them."""

    hubspot: HubSpot
    slack: Slack
    odoo: Odoo
    salesforce: Salesforce
    google_sheets: Sheets
    xero: Xero
    ledger: Ledger
    dice: dict[str, Dice]
    latency: float
    requests: int
    outages: list[tuple[float, float]]

    def begin_outage(self, outage: Outage, delay: float) -> None: ...


class Control:
    def __init__(self, sandbox: Controlled) -> None:
        self._sandbox = sandbox

    async def serve(self, request: web.BaseRequest, body: bytes) -> Answer:
        try:
            return self._answer(request, body)
        except (ValueError, TypeError, KeyError) as error:
            return answer(400, {"error": str(error)})

    def _answer(self, request: web.BaseRequest, body: bytes) -> Answer:
        match (request.method, request.path):
            case ("GET", "/_sandbox/state"):
                return answer(200, self.state())
            case ("GET", "/_sandbox/ledger"):
                limit = request.query.get("limit")
                rows = self._sandbox.ledger.rows(int(request.query.get("after", 0)), int(limit) if limit else None)
                return answer(200, rows)
            case ("POST", "/_sandbox/faults"):
                self.change(from_json(body))
                return answer(200, self._faults())
            case ("POST", "/_sandbox/ledger/clear"):
                self._sandbox.ledger.clear()
                return answer(200, {})
        return answer(404, {"error": f"nothing at {request.method} {request.path}; see `writeback sandbox --help`"})

    def state(self) -> dict[str, Any]:
        sandbox = self._sandbox
        return {
            "hubspot": sandbox.hubspot.state(),
            "slack": sandbox.slack.state(),
            "odoo": sandbox.odoo.state(),
            "salesforce": sandbox.salesforce.state(),
            "google_sheets": sandbox.google_sheets.state(),
            "xero": sandbox.xero.state(),
            "requests": sandbox.requests,
            "counts": dict(sandbox.ledger.counts),
            "outages": sandbox.outages,
            "faults": self._faults(),
        }

    def change(self, asked: dict[str, Any]) -> None:
        """Raises ``ValueError``, ``TypeError``, ``KeyError`` for what is no fault."""
        sandbox = self._sandbox
        vendors = [asked.pop("vendor")] if "vendor" in asked else list(sandbox.dice)
        forced = [Fate(**fate) for fate in asked.pop("forced", [])]
        outage = Outage(**asked.pop("outage")) if "outage" in asked else None
        sandbox.latency = float(asked.pop("latency", sandbox.latency))
        for vendor in vendors:
            dice = sandbox.dice[vendor]
            dice.faults = dice.faults.changed(**asked)
            dice.forced.extend(forced)
            getattr(sandbox, vendor).set_faults(dice.faults)
        if outage:
            sandbox.begin_outage(outage, delay=outage.at or 0.05)

    def _faults(self) -> dict[str, Any]:
        return {vendor: asdict(dice.faults) for vendor, dice in self._sandbox.dice.items()}
