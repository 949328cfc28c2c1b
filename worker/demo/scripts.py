"""The four scripts of the demo: what a user of ``pq`` writes."""

from __future__ import annotations

ALERTS = """\
import pq

slack = pq.connect("Slack")

for number in range(1, 9):
    for channel in ("qa", "alerts", "ops"):
        slack.add("message", channel=channel, text=f"Data quality alert {number}")

slack.add("message", channel="no-such-channel", text="Revenue dashboard is stale")
"""

STAGES = """\
import csv
import pq

hubspot = pq.connect("Hubspot")

leads = list(csv.DictReader(open("contacts.csv", encoding="utf-8")))[200:240]
for stage in ("lead", "opportunity", "customer"):
    for lead in leads:
        hubspot.upsert("contact", email=lead["email"], lifecyclestage=stage)
"""

NEW_LEADS = """\
import pq

hubspot = pq.connect("Hubspot")

receipts = [
    hubspot.add("contact", {"email": f"walk-in-{number}@fair.example", "firstname": f"Visitor {number}"})
    for number in range(1, 31)
]
for receipt in receipts:
    print(receipt["status"], end=" ")
"""
REFRESH = """\
import pq

for _ in range(100):
    pq.refresh_connection(connection_name="Hubspot")
result = pq.refresh_connection(connection_name="Hubspot", is_async=False)
print(result)
"""

ALERTS_PER_CHANNEL = 8
CHANNELS = ("qa", "alerts", "ops")
STAGED = slice(200, 240)
LAST_STAGE = "customer"
NEW = 30
