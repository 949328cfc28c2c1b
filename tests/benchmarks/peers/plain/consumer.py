"""A plain kafka-python loop: one call after the other, a commit after each batch of records."""

import json
import os

import httpx
from kafka import KafkaConsumer

consumer = KafkaConsumer(
    os.environ["TOPIC"],
    bootstrap_servers=os.environ["BOOTSTRAP"],
    group_id=os.environ["GROUP"],
    auto_offset_reset="earliest",
    enable_auto_commit=False,  # at least once
)
with httpx.Client(base_url=os.environ["URL"], timeout=120) as client:
    while True:
        for records in consumer.poll(timeout_ms=1_000).values():
            for record in records:
                event = json.loads(record.value)
                client.patch("/" + event["path"], json=event["body"]).raise_for_status()
        consumer.commit()
