from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kafka_broker import Broker
from tests.worker.refresher.stand import Stand
from topics.open import open_log


@pytest.fixture(params=["sqlite", pytest.param("kafka", marks=pytest.mark.kafka)])
def stand(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stand]:
    """A stand on each log in turn, with an empty log."""
    url = f"sqlite:///{tmp_path}/log.db"
    if request.param == "kafka":
        broker: Broker = request.getfixturevalue("kafka")
        url = f"kafka://{broker.bootstrap}"
    log = open_log(url)
    for topic in log.topics("writeback."):
        log.delete_topic(topic)
    stand = Stand(log, tmp_path)
    stand.url = url
    yield stand
    stand.close()
    log.close()
