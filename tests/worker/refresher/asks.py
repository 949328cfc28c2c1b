"""Somebody who asks often, in a process of its own, and waits for every answer.

``python -m tests.worker.refresher.asks LOG COUNT``: says ``ready``, waits for a line, asks, and says how many of the
answers say that the run went well, and how many runs they name.
"""

from __future__ import annotations

import json
import os
import sys
import time

from topics import names
from topics.event.refresh import RefreshRequest, encode
from topics.event.result import unpack
from topics.log import Partition
from topics.open import open_log


def main(url: str, count: int) -> None:
    log = open_log(url)
    place = Partition(names.DEFAULT.replies, os.getpid() % names.REPLY_PARTITIONS)
    starts = log.end_offsets([place])
    producer = log.producer(name="asks")
    print("ready", flush=True)
    sys.stdin.readline()
    requests = [
        RefreshRequest(connection="odoo", objects=(f"object-{number % 7}",), reply_to=place.number, source="asks")
        for number in range(count)
    ]
    for sent in [producer.send(names.DEFAULT.refresh, **encode(request)._asdict()) for request in requests]:
        sent.result(60.0)
    producer.close(5.0)
    print("asked", flush=True)
    reader, waiting, runs = log.reader(starts), {request.id for request in requests}, set()
    until = time.monotonic() + 90.0
    while waiting and time.monotonic() < until:
        for result in (result for record in reader.poll(1.0) for result in unpack(record.value)):
            if result.id in waiting and result.outcome == "delivered":
                waiting.discard(result.id)
                runs.add(result.detail["run"])
    reader.close()
    log.close()
    print(json.dumps({"answered": count - len(waiting), "runs": sorted(runs)}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
