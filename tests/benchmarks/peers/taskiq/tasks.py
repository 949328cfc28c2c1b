"""taskiq-aio-kafka: ``python tasks.py EVENTS KEYS`` enqueues, ``taskiq worker tasks:broker`` works.

https://github.com/taskiq-python/taskiq-aio-kafka. Needs kafka-python 2: with 3 it does not start.
"""

import asyncio
import os
import sys

import httpx
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from httpx_aiohttp import AiohttpTransport
from kafka.admin import NewTopic
from taskiq_aio_kafka import AioKafkaBroker

broker = AioKafkaBroker(
    bootstrap_servers=os.environ["BOOTSTRAP"],
    kafka_topic=NewTopic(name="taskiq-" + os.environ["TOPIC"], num_partitions=8, replication_factor=1),
)
broker.configure_consumer(
    group_id=os.environ["GROUP"],
    auto_offset_reset="earliest",
    partition_assignment_strategy=(RoundRobinPartitionAssignor,),  # its default, kafka-python's, fails in aiokafka
)
clients = []


@broker.task
async def handle(path: str, body: dict) -> None:
    if not clients:
        transport = AiohttpTransport(limits=httpx.Limits(max_connections=None))
        clients.append(httpx.AsyncClient(base_url=os.environ["URL"], timeout=120, transport=transport))
    (await clients[0].patch("/" + path, json=body)).raise_for_status()


async def enqueue(events: int, keys: int) -> None:
    await broker.startup()
    for n in range(events):
        key = f"k{n % keys}"
        await handle.kiq(f"records/{key}", {"n": n, "key": key, "firstname": f"name {n}"})
    await broker.shutdown()


if __name__ == "__main__":
    asyncio.run(enqueue(int(sys.argv[1]), int(sys.argv[2])))
