"""What is said of a server that no broker answers at; with a real one that is secured: test_secured.py."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ports import free_port
from topics.kafka.diagnosis import why


@pytest.fixture
def something_else() -> Iterator[int]:
    """The port of a server that is not Kafka: it closes what says anything."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(1_024)
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        serving = threading.Thread(target=serve, daemon=True)
        serving.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
    serving.join(5)


def test_nothing_listens() -> None:
    """The port is named."""
    port = free_port()

    assert why(f"127.0.0.1:{port}", {}) == f"nothing listens on port {port}"


def test_no_such_host() -> None:
    """The host is named."""
    assert why("kafka.invalid:9092", {}) == "there is no host kafka.invalid"


def test_no_port() -> None:
    """What is no number is shown."""
    assert "invalid literal for int()" in why("kafka:broker", {})


def test_not_kafka(something_else: int) -> None:
    """A server that speaks no TLS and no Kafka."""
    said = why(f"127.0.0.1:{something_else}", {})

    assert said.startswith("it does not answer as Kafka does: is it Kafka, or a port that wants a password")


def test_no_tls_there(something_else: int) -> None:
    """TLS is asked of a server that has none: the setting is named."""
    said = why(f"127.0.0.1:{something_else}", {"security_protocol": "SSL"})

    assert said == "no TLS is spoken there (wrong version number); WRITEBACK_KAFKA_SECURITY_PROTOCOL is SSL"


def test_files_that_are_none(something_else: int, tmp_path: Path) -> None:
    """A file that holds no certificate: the settings are named."""
    (tmp_path / "ca.pem").write_text("nothing of the kind")
    said = why(f"127.0.0.1:{something_else}", {"security_protocol": "SSL", "ssl_cafile": str(tmp_path / "ca.pem")})

    assert said.startswith("the files of WRITEBACK_KAFKA_SSL_CAFILE, _CERTFILE and _KEYFILE cannot be used:")
