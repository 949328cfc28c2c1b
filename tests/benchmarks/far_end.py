"""The harness's side of ``target.py``."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.error import URLError
from urllib.request import Request, urlopen


@dataclass(frozen=True)
class Report:
    """What really arrived. ``seconds``: from the first request to the answer of the last that settled an event."""

    requests: int
    at_once: int
    settled: int
    lost: int
    doubled: int
    refused: int
    refusals: int
    disordered: int
    seconds: float
    delays: list[float]
    times: dict[str, list[float]]

    @property
    def rate(self) -> float:
        return self.settled / self.seconds if self.seconds else 0.0


class FarEnd:
    """A context manager: the target's process. ``tls``: it listens with TLS as well (needs ``openssl``)."""

    def __init__(self, *, tls: bool = False) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self.pem = _self_signed(Path(self._folder.name)) if tls else None

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.target", *([str(self.pem)] if self.pem else [])],
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid
        assert self._process.stdout is not None
        urls = json.loads(self._process.stdout.readline())
        self.url: str = urls["url"]
        self.tls_url: str = urls.get("tls_url", "")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._folder.cleanup()

    def reset(self, events: int, **script: Any) -> None:
        self._ask("reset", json.dumps({"events": events, **script}).encode())

    def wait_first(self, seconds: float) -> bool:
        return self._waited("first", seconds)

    def wait_done(self, seconds: float) -> bool:
        return self._waited("done", seconds)

    def wait_settled(self, events: int, seconds: float) -> bool:
        return self._waited("settled", seconds, str(events).encode())

    def wait_requests(self, count: int, seconds: float) -> bool:
        return self._waited("requests", seconds, str(count).encode())

    def wait_lane(self, name: str, requests: int, seconds: float) -> bool:
        """Until so many requests with this ``lane`` in their body have come."""
        return self._waited("lane", seconds, f"{name} {requests}".encode())

    def report(self) -> Report:
        return Report(**self._ask("report"))

    def _waited(self, what: str, seconds: float, body: bytes | None = None) -> bool:
        try:
            self._ask(what, body, seconds)
        except (TimeoutError, URLError):
            return False
        return True

    def _ask(self, what: str, body: bytes | None = None, seconds: float = 30.0) -> Any:
        with urlopen(Request(f"{self.url}/_bench/{what}", body), timeout=seconds) as answer:
            return json.load(answer)


def _self_signed(folder: Path) -> Path:
    """A certificate for 127.0.0.1 and its key in one file. Raises ``RuntimeError`` where there is no ``openssl``."""
    pem, certificate = folder / "target.pem", folder / "certificate.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=target"
    try:
        subprocess.run(
            [*command.split(), "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(pem), "-out", str(certificate)],
            check=True, capture_output=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError) as error:
        raise RuntimeError(f"no certificate for TLS: {error}") from error
    with pem.open("a") as both:
        both.write(certificate.read_text())
    return pem
