"""The settings of a secured Kafka, on one: what goes through, and what is said when it does not."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.kafka_broker import needed
from tests.topics.kafka.secured import PASSWORD, SCRAM, USER, SecuredBroker
from topics.errors import LogError
from topics.log.contract import Log, Partition
from topics.names import TopicSpec
from topics.settings import Settings

pytestmark = pytest.mark.kafka


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture(scope="module")
def secured(folder: Path) -> Iterator[SecuredBroker]:
    with needed(lambda: SecuredBroker(folder)) as broker:
        yield broker


settings = partial(Settings, single_host=True)


def by_password(broker: SecuredBroker, folder: Path, mechanism: str, password: str = PASSWORD) -> Log:
    return settings(
        log=broker.sasl, kafka_security_protocol="SASL_SSL", kafka_sasl_mechanism=mechanism, kafka_sasl_username=USER,
        kafka_sasl_password=password, kafka_ssl_cafile=folder / "ca.pem",
    ).open_log()  # fmt: skip


def by_certificate(broker: SecuredBroker, folder: Path, *, ca: str = "ca.pem", own: bool = True) -> Log:
    return settings(
        log=broker.tls, kafka_security_protocol="SSL", kafka_ssl_cafile=folder / ca,
        kafka_ssl_certfile=folder / "client.pem" if own else None,
        kafka_ssl_keyfile=folder / "client.key" if own else None,
    ).open_log()  # fmt: skip


def carry(log: Log) -> bytes | None:
    """A record there and back."""
    topic = f"secured-{uuid.uuid4().hex}"
    log.ensure_topics([TopicSpec(topic)])
    producer = log.producer()
    producer.send(topic, key=b"k", value=b"carried")
    producer.flush()
    producer.close()
    reader = log.reader({Partition(topic, 0): 0})
    [record] = reader.poll(10)
    reader.close()
    return record.value


@pytest.mark.parametrize("way", ["PLAIN", SCRAM, "a certificate"])
def test_a_record_there_and_back(way: str, secured: SecuredBroker, folder: Path) -> None:
    """Every client behind a log (admin, producer, reader) is given the settings."""
    log = by_certificate(secured, folder) if way == "a certificate" else by_password(secured, folder, way)
    try:
        assert carry(log) == b"carried"
    finally:
        log.close()


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("a wrong password", "it refuses the user, the password or the mechanism (SCRAM-SHA-512)"),
        ("a mechanism that it has not", "it refuses the user, the password or the mechanism (SCRAM-SHA-256)"),
        ("another authority", "its certificate is not good (unable to get local issuer"),
        ("no certificate", "it refuses our certificate, or that there is none"),
        ("no TLS", "it speaks TLS: set WRITEBACK_KAFKA_SECURITY_PROTOCOL"),
    ],
)
def test_what_does_not_fit_is_named(
    kind: str, said: str, secured: SecuredBroker, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the first question, with the address: not after a day of empty answers."""
    monkeypatch.setattr("topics.kafka.client.BOOTSTRAP_MS", 3_000)
    log = {
        "a wrong password": lambda: by_password(secured, folder, SCRAM, "wrong"),
        "a mechanism that it has not": lambda: by_password(secured, folder, "SCRAM-SHA-256"),
        "another authority": lambda: by_certificate(secured, folder, ca="stranger.pem"),
        "no certificate": lambda: by_certificate(secured, folder, own=False),
        "no TLS": lambda: settings(log=secured.sasl).open_log(),
    }[kind]()
    try:
        with pytest.raises(LogError) as caught:
            log.probe()
    finally:
        log.close()
    assert said in str(caught.value)
    assert "kafka://127.0.0.1:" in str(caught.value)
    assert PASSWORD not in str(caught.value)
