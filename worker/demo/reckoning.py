"""The demo's reckoning: every event that was emitted, against what the sandbox really received."""

from __future__ import annotations

import csv
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from topics.event.refresh import OPERATION as REFRESH
from topics.event.result import Result
from worker.demo.scripts import ALERTS_PER_CHANNEL, CHANNELS, LAST_STAGE, NEW, STAGED

REFRESHES = 101
MOST_RUNS = 2


@dataclass
class Reckoning:
    """``faults``: what is wrong, in words; none: every event is accounted for."""

    lines: list[tuple[str, int, int]] = field(default_factory=list)
    """What, how many were emitted, how many the sandbox has."""
    faults: list[str] = field(default_factory=list)

    def expect(self, what: str, expected: int, found: int) -> None:
        self.lines.append((what, expected, found))
        if expected != found:
            self.faults.append(f"{what}: {expected:,} expected, {found:,} found")


def expected_contacts(csv_path: Path, corrected: dict[str, str], given_up: set[str]) -> dict[str, dict[str, str]]:
    """The contacts that the CRM must hold: the CSV, with the emails that were corrected, less what was given up."""
    with csv_path.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    staged = {row["email"] for row in rows[STAGED]}
    contacts = {}
    for row in rows:
        if row["email"] in given_up:
            continue
        contact = dict(row, email=corrected.get(row["email"], row["email"]))
        if row["email"] in staged:
            contact["lifecyclestage"] = LAST_STAGE
        contacts[contact["email"]] = contact
    for number in range(1, NEW + 1):
        email = f"walk-in-{number}@fair.example"
        contacts[email] = {"email": email, "firstname": f"Visitor {number}"}
    return contacts


def reckon(
    crm: dict[str, Any],
    chat: dict[str, Any],
    ledger: list[dict[str, Any]],
    results: list[Result],
    *,
    emitted: int,
    contacts: dict[str, dict[str, str]],
    discarded: int,
) -> Reckoning:
    reckoning = Reckoning()
    _outcomes(reckoning, results, emitted, discarded)
    _contacts(reckoning, crm["hubspot"]["records"]["contacts"], contacts)
    _stages(reckoning, ledger)
    _messages(reckoning, chat["slack"]["channels"])
    return reckoning


def reckon_warehouse(
    reckoning: Reckoning,
    runs: list[dict[str, Any]],
    rows: list[dict[str, Any]],
    contacts: dict[str, dict[str, str]],
) -> None:
    """The table of contacts is what the CRM holds, and it took one run (two, where the machine paused in between)."""
    reckoning.expect("refreshes asked for", REFRESHES, sum(run["requests"] for run in runs))
    by_email = {row["email"]: row for row in rows}
    same = sum(
        email in by_email and all(by_email[email].get(name) == value for name, value in contact.items())
        for email, contact in contacts.items()
    )
    reckoning.expect("rows in the warehouse", len(contacts), len(rows))
    reckoning.expect("rows exactly as in the CRM", len(contacts), same)
    if not all(run["state"] == "ok" for run in runs) or len(runs) > MOST_RUNS:
        states = ", ".join(run["state"] for run in runs)
        reckoning.faults.append(f"{len(runs)} runs for one burst of requests: {states}")


def _outcomes(reckoning: Reckoning, results: list[Result], emitted: int, discarded: int) -> None:
    events = [result for result in results if result.operation != REFRESH]
    delivered = {result.id for result in events if result.outcome == "delivered"}
    dead = {result.id for result in events if result.outcome == "dead"} - delivered
    reckoning.expect("events with an outcome", emitted, len(delivered | dead))
    reckoning.expect("given up by an operator", discarded, len(dead))


def _contacts(reckoning: Reckoning, records: dict[str, dict[str, str]], contacts: dict[str, dict[str, str]]) -> None:
    held = Counter(record.get("email", "") for record in records.values())
    reckoning.expect("contacts in the CRM", len(contacts), len(records))
    doubled = [email for email, count in held.items() if count > 1]
    if doubled:
        reckoning.faults.append(f"contacts that are there twice: {', '.join(doubled[:5])}")
    wrong = 0
    by_email = {record.get("email"): record for record in records.values()}
    for email, contact in contacts.items():
        record = by_email.get(email)
        if record is None:
            reckoning.faults.append(f"missing: {email}")
        elif any(record.get(name) != value for name, value in contact.items()):
            reckoning.faults.append(f"not as it was sent: {email}")
        else:
            continue
        wrong += 1
    reckoning.expect("contacts exactly as they were sent", len(contacts), len(contacts) - wrong)


def _stages(reckoning: Reckoning, ledger: list[dict[str, Any]]) -> None:
    """The three changes of a lead arrive in the order in which the script made them."""
    order = ["lead", "opportunity", "customer"]
    seen: dict[str, list[int]] = {}
    for entry in sorted(ledger, key=lambda entry: entry["done"]):
        stage = (entry["properties"] or {}).get("lifecyclestage")
        if entry["performed"] and stage in order:
            seen.setdefault(str(entry["unique"]), []).append(order.index(stage))
    in_order = sum(stages == sorted(stages) and set(stages) == {0, 1, 2} for stages in seen.values())
    reckoning.expect("leads whose changes came in order", STAGED.stop - STAGED.start, in_order)


def _messages(reckoning: Reckoning, channels: dict[str, list[dict[str, Any]]]) -> None:
    texts = {name: [message["text"] for message in messages] for name, messages in channels.items()}
    numbers = {name: [int(n) for text in texts[name] for n in re.findall(r"alert (\d+)$", text)] for name in CHANNELS}
    expected = list(range(1, ALERTS_PER_CHANNEL + 1))
    reckoning.expect("alerts in Slack", ALERTS_PER_CHANNEL * len(CHANNELS) + 1, sum(map(len, texts.values())))
    reckoning.expect(
        "channels with every alert once, in order", len(CHANNELS), sum(n == expected for n in numbers.values())
    )
