"""kafka-python alone: how fast a plain consumer takes records from a topic, doing nothing with them.

python -m tests.benchmarks.consuming BOOTSTRAP EVENTS TOPIC...
"""

from __future__ import annotations

import json
import sys
import time

from kafka import KafkaConsumer

from tests.benchmarks.stand import Stand


def rate_alone(stand: Stand, events: int, *topics: str) -> float:
    """Records per second, from the first answer to the last record, in a process of its own."""
    name = f"consuming-{time.time_ns()}"
    command = [sys.executable, "-m", "tests.benchmarks.consuming", stand.bootstrap, str(events), *topics]
    process = stand.stage.start(*command, name=name)
    if process.wait(120):
        raise RuntimeError((stand.stage.folder / f"{name}.log").read_text())
    rate: float = json.loads((stand.stage.folder / f"{name}.out").read_text())
    return rate


def main(bootstrap: str, events: int, topics: list[str]) -> float:
    consumer = KafkaConsumer(*topics, bootstrap_servers=bootstrap, auto_offset_reset="earliest", group_id=None)
    seen = 0
    began = 0.0
    while seen < events:
        polled = consumer.poll(timeout_ms=1_000)
        began = began or time.perf_counter()
        for records in polled.values():
            for record in records:
                seen += record.value is not None
    seconds = time.perf_counter() - began
    consumer.close()
    return seen / seconds


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]), sys.argv[3:])))
