"""A vendor that ends a refresh token with its use: the worker keeps the new one, and its successor uses it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.acceptance import rig
from topics.event.event import Event, Operation

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(120)]


class Vendor(ThreadingHTTPServer):
    """Takes each refresh token once, and answers with the next."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.number = 0
        self.good = ""
        """The access token that opens the door; empty: it has ended."""
        self.refused = 0
        self.delivered = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Vendor

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"] or 0)).decode()
        if self.path != "/token" and self.headers["Authorization"] != f"Bearer {self.server.good}":
            self._answer(401, {"error": "invalid_token"})
        elif self.path != "/token":
            self.server.delivered += 1
            self._answer(200, {})
        elif f"refresh_token=refresh-{self.server.number}" in body.split("&"):
            self.server.number += 1
            self.server.good = f"access-{self.server.number}"
            token = {"access_token": f"access-{self.server.number}", "expires_in": 3_600}
            self._answer(200, {**token, "refresh_token": f"refresh-{self.server.number}"})
        else:
            self.server.refused += 1
            self._answer(400, {"error": "invalid_grant"})

    def _answer(self, status: int, body: object) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the signature is the library's
        """Quiet."""


@contextmanager
def vendor() -> Iterator[Vendor]:
    with Vendor() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_the_new_token_outlives_the_worker(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Three workers, one after the other: each is let in with what the one before was given, and opens once.

    The access token of the one before has ended by then.
    """
    with vendor() as erp, rig.stage_on("sqlite", tmp_path, request) as stage:
        stage.writeback(
            "connections", "add", "erp", "--connector", "http", "--set", f"base_url={erp.url}",
            "--set", f"token_url={erp.url}/token", "--set", "allow_private_addresses=true", "--set", "client_id=us",
            "--secret", "client_secret=s", "--secret", "refresh_token=refresh-0", "--no-test",
        )  # fmt: skip
        for number in range(3):
            worker = stage.worker("worker", name=f"worker-{number}")
            fields = {"path": "/orders", "method": "POST", "body": {"n": number}}
            rig.emit(stage, [Event(operation=Operation.ADD, connection="erp", object="call", fields=fields)])
            rig.wait_done(stage, within=30)
            assert stage.stop(worker) == 0
            erp.good = ""
        logs = "".join((tmp_path / f"worker-{number}.log").read_text() for number in range(3))

        assert (erp.number, erp.refused, erp.delivered) == (3, 0, 3)
        assert logs.count('"secret.kept"') == 3
        assert logs.count('"connection.opened"') == 3
        assert "connection.changed" not in logs
        assert "refresh-" not in logs
