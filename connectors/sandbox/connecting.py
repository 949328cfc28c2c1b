"""How a connection to the sandbox is made: the line to paste, one for each vendor."""

from __future__ import annotations

import shlex

VENDORS = ("hubspot", "slack", "odoo", "salesforce", "google_sheets", "xero")

_WANTS = {
    "hubspot": ("--set", "base_url={url}", "--secret", "access_token=any"),
    "slack": ("--set", "base_url={url}/api", "--secret", "access_token=any"),
    "odoo": (
        "--set", "base_url={url}", "--set", "database={database}", "--set", "username=admin", "--secret", "api_key=any",
    ),
    "salesforce": (
        "--set", "base_url={url}", "--set", 'unique={{"contact": "External_Id__c"}}', "--secret", "access_token=any",
    ),
    "google_sheets": (
        "--set", "base_url={url}", "--set", "spreadsheet_id=sandbox", "--set", 'unique={{"Leads": "email"}}',
        "--secret", "access_token=any",
    ),
    "xero": (
        "--set", "base_url={url}", "--set", "token_url={url}/connect/token", "--set", "client_id=any",
        "--secret", "client_secret=any",
    ),
}  # fmt: skip


def line(vendor: str, url: str, *, token: str, database: str) -> str:
    """The command that adds a connection to this vendor at ``url``. ``token``: one that the sandbox takes."""
    options = [each.format(url=url, database=database) for each in _WANTS[vendor]]
    options = [f"access_token={token}" if each == "access_token=any" else each for each in options]
    words = ["writeback", "connections", "add", vendor, *options, "--set", "allow_private_addresses=true"]
    return shlex.join(words)
