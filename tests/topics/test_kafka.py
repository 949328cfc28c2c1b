"""``topics/kafka.py`` keeps the contract of a log on a real broker, and what only Kafka can get wrong."""

from __future__ import annotations

import pytest

from tests.conformance.log import LogContract
from tests.kafka_broker import Broker


@pytest.mark.kafka
class TestKafka(LogContract):
    @pytest.fixture
    def log_url(self, kafka: Broker) -> str:
        return f"kafka://{kafka.bootstrap}"
