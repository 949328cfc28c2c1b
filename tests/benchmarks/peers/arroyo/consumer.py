"""sentry-arroyo: RunTaskInThreads, then CommitOffsets. https://getsentry.github.io/arroyo/strategies/"""

import json
import os
from collections.abc import Mapping

import httpx
from arroyo.backends.kafka import KafkaConsumer, KafkaPayload, build_kafka_consumer_configuration
from arroyo.processing import StreamProcessor
from arroyo.processing.strategies import CommitOffsets, ProcessingStrategy, ProcessingStrategyFactory, RunTaskInThreads
from arroyo.types import Commit, Message, Partition, Topic

client = httpx.Client(
    base_url=os.environ["URL"], timeout=120, limits=httpx.Limits(max_connections=None, max_keepalive_connections=None)
)


def handle(message: Message[KafkaPayload]) -> None:
    event = json.loads(message.payload.value)
    client.patch("/" + event["path"], json=event["body"]).raise_for_status()


class Factory(ProcessingStrategyFactory[KafkaPayload]):
    def create_with_partitions(
        self, commit: Commit, partitions: Mapping[Partition, int]
    ) -> ProcessingStrategy[KafkaPayload]:
        return RunTaskInThreads(handle, concurrency=256, max_pending_futures=1_024, next_step=CommitOffsets(commit))


consumer = KafkaConsumer(
    build_kafka_consumer_configuration(
        default_config={},
        bootstrap_servers=[os.environ["BOOTSTRAP"]],
        group_id=os.environ["GROUP"],
        auto_offset_reset="earliest",
    )
)
StreamProcessor(consumer, Topic(os.environ["TOPIC"]), Factory()).run()
