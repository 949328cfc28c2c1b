"""Celery with Redis: ``python tasks.py FILE`` enqueues, ``celery -A tasks worker`` works.

https://docs.celeryq.dev/en/stable/userguide/optimizing.html: acknowledged late and a prefetch of one, for long tasks
that must not be lost; threads, because the tasks wait for a network.
"""

import json
import os
import sys
import threading
from pathlib import Path

import requests
from celery import Celery

app = Celery("tasks", broker=os.environ["REDIS"])
app.conf.update(
    task_acks_late=True,
    worker_prefetch_multiplier=1,
    task_ignore_result=True,
    broker_transport_options={"max_connections": 600},
    redis_max_connections=600,
    broker_pool_limit=600,
)
threads = threading.local()  # a session of its own for each thread: httpx's pool is slow with 256 connections


def session() -> requests.Session:
    if not hasattr(threads, "session"):
        threads.session = requests.Session()
    return threads.session


@app.task
def handle(path: str, body: dict) -> None:
    session().patch(os.environ["URL"] + "/" + path, json=body).raise_for_status()


if __name__ == "__main__":
    for line in Path(sys.argv[1]).read_text().splitlines():
        event = json.loads(line)
        handle.delay(event["path"], event["body"])
