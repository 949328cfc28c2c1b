"""FastStream on Kafka, with the concurrency that its documentation offers: ``max_workers``.

https://faststream.ag2.ai/latest/confluent/ and .../kafka/ ("Concurrent message processing", "Acknowledgement").
``WORKERS=256``: the default acknowledgement (first). ``WORKERS=8``, ``ACK=1``: at least once, in order per partition.
"""

import asyncio
import os

import httpx
from faststream import AckPolicy, FastStream
from faststream.kafka import KafkaBroker
from httpx_aiohttp import AiohttpTransport

broker = KafkaBroker(os.environ["BOOTSTRAP"], logger=None)
app = FastStream(broker, logger=None)
policy = {"ack_policy": AckPolicy.ACK} if os.environ.get("ACK") else {}
client = httpx.AsyncClient(
    base_url=os.environ["URL"], timeout=120, transport=AiohttpTransport(limits=httpx.Limits(max_connections=None))
)


@broker.subscriber(
    os.environ["TOPIC"],
    group_id=os.environ["GROUP"],
    auto_offset_reset="earliest",
    max_workers=int(os.environ["WORKERS"]),
    **policy,
)
async def handle(event: dict) -> None:
    (await client.patch("/" + event["path"], json=event["body"])).raise_for_status()


if __name__ == "__main__":
    asyncio.run(app.run())
