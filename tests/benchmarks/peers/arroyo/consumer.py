"""sentry-arroyo: RunTaskInThreads, then CommitOffsets. https://getsentry.github.io/arroyo/strategies/"""

import json
import os
import threading
from collections.abc import Mapping

import requests
from arroyo.backends.kafka import KafkaConsumer, KafkaPayload, build_kafka_consumer_configuration
from arroyo.processing import StreamProcessor
from arroyo.processing.strategies import CommitOffsets, ProcessingStrategy, ProcessingStrategyFactory, RunTaskInThreads
from arroyo.types import Commit, Message, Partition, Topic

threads = threading.local()  # a session of its own for each thread: httpx's pool is slow with 256 connections


def session() -> requests.Session:
    if not hasattr(threads, "session"):
        threads.session = requests.Session()
    return threads.session


def handle(message: Message[KafkaPayload]) -> None:
    event = json.loads(message.payload.value)
    session().patch(os.environ["URL"] + "/" + event["path"], json=event["body"]).raise_for_status()


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
