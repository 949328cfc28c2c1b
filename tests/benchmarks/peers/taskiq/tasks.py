"""taskiq-aio-kafka: ``python tasks.py FILE`` enqueues, ``taskiq worker tasks:broker`` works.

https://github.com/taskiq-python/taskiq-aio-kafka. Needs kafka-python 2: with 3 it does not start. What fails is tried
again by the ``SmartRetryMiddleware`` with the numbers of its documentation, five times (the broker of Kafka does not
know the label ``delay``: at once); what the destination refuses for good is not tried again.
"""

import asyncio
import json
import os
import sys
from pathlib import Path

import httpx
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from httpx_aiohttp import AiohttpTransport
from kafka.admin import NewTopic
from taskiq import SmartRetryMiddleware
from taskiq_aio_kafka import AioKafkaBroker


class RefusedError(Exception):
    """The destination will never take it."""


broker = AioKafkaBroker(
    bootstrap_servers=os.environ["BOOTSTRAP"],
    kafka_topic=NewTopic(name="taskiq-" + os.environ["TOPIC"], num_partitions=8, replication_factor=1),
).with_middlewares(
    SmartRetryMiddleware(
        default_retry_count=5,
        default_delay=10,
        use_jitter=True,
        use_delay_exponent=True,
        max_delay_exponent=120,
        types_of_exceptions=(httpx.HTTPError,),
    )
)
broker.configure_consumer(
    group_id=os.environ["GROUP"],
    auto_offset_reset="earliest",
    partition_assignment_strategy=(RoundRobinPartitionAssignor,),  # its default, kafka-python's, fails in aiokafka
)
clients = []


@broker.task(retry_on_error=True)
async def handle(path: str, body: dict) -> None:
    if not clients:
        transport = AiohttpTransport(limits=httpx.Limits(max_connections=None))
        clients.append(httpx.AsyncClient(base_url=os.environ["URL"], timeout=120, transport=transport))
    answer = await clients[0].patch(path, json=body)
    if answer.status_code == 422:
        raise RefusedError(answer.text)
    answer.raise_for_status()


async def enqueue(lines: list[str]) -> None:
    await broker.startup()
    for line in lines:
        event = json.loads(line)
        await handle.kiq(event["path"], event["body"])
    await broker.shutdown()


if __name__ == "__main__":
    asyncio.run(enqueue(Path(sys.argv[1]).read_text().splitlines()))
