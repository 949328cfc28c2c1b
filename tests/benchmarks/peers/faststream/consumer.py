"""FastStream on Kafka, with the concurrency that its documentation offers: ``max_workers``.

https://faststream.ag2.ai/latest/kafka/ ("Concurrent message processing", "Acknowledgement", "Nack" and "Reject").
``WORKERS=256``: the default acknowledgement (first): what fails is logged, and gone. ``WORKERS=8``,
``POLICY=nack_on_error``: at least once, in order per partition; what fails is read again at once, what the destination
refuses for good is rejected.
"""

import asyncio
import os

import httpx
from faststream import AckPolicy, FastStream
from faststream.exceptions import RejectMessage
from faststream.kafka import KafkaBroker
from httpx_aiohttp import AiohttpTransport

broker = KafkaBroker(os.environ["BOOTSTRAP"], logger=None)
app = FastStream(broker, logger=None)
policy = {"ack_policy": AckPolicy(os.environ["POLICY"])} if os.environ.get("POLICY") else {}
client = httpx.AsyncClient(
    base_url=os.environ["URL"], timeout=120, transport=AiohttpTransport(limits=httpx.Limits(max_connections=None))
)


async def handle(event: dict) -> None:
    answer = await client.patch(event["path"], json=event["body"])
    if answer.status_code == 422:
        raise RejectMessage
    answer.raise_for_status()


for topic in os.environ["TOPIC"].split(","):
    broker.subscriber(
        topic,
        group_id=os.environ["GROUP"],
        auto_offset_reset="earliest",
        max_workers=int(os.environ["WORKERS"]),
        **policy,
    )(handle)


if __name__ == "__main__":
    asyncio.run(app.run())
