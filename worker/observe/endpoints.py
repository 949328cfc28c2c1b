"""``/metrics``, ``/states``, ``/healthz`` and ``/readyz``.

The worker's own loop serves them: what does not answer is not healthy.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from pydantic_core import to_json

from topics.errors import SettingsError
from worker.log_events import logger

REQUEST_SECONDS = 5.0
MAX_HEAD = 16_384
TEXT = "text/plain; charset=utf-8"
JSON = "application/json"

_STATUS = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 503: "Service Unavailable"}


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes
    content_type: str = TEXT


class MetricsServer:
    """``collect`` gives the metrics; ``unready`` why the worker cannot work, or nothing when it can.

    ``states``: how the worker and its connections are, as ``/states`` has it.
    """

    def __init__(
        self,
        collect: Callable[[], Awaitable[list[Metric]]],
        unready: Callable[[], Awaitable[str]],
        states: Callable[[], Mapping[str, Any]] = dict,
    ) -> None:
        self._collect = collect
        self._unready = unready
        self._states = states
        self._process = CollectorRegistry(auto_describe=False)
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self._process)
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """The port it listens on. Raises ``SettingsError`` when it is taken."""
        try:
            self._server = await asyncio.start_server(self._serve, host, port, limit=MAX_HEAD)
        except OSError as error:
            raise SettingsError(f"WRITEBACK_METRICS_PORT: cannot listen on {host}:{port}: {error}") from error
        bound: int = self._server.sockets[0].getsockname()[1]
        logger().info("metrics.listening", host=host, port=bound)
        return bound

    def stop(self) -> None:
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
            writer.write(wire(await self.answer(head)))
            async with asyncio.timeout(REQUEST_SECONDS):
                await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return  # whoever asked has gone, or never was a client of ours
        finally:
            writer.close()

    async def answer(self, head: bytes) -> Answer:
        """To one request, of which only the head is read."""
        line, _, rest = head.decode("latin-1").partition("\r\n")
        method, _, target = line.partition(" ")
        path = target.partition(" ")[0].partition("?")[0]
        if not path.startswith("/"):
            return Answer(400, b"this speaks HTTP\n")
        return await self._get(path, rest) if method == "GET" else Answer(405, b"only GET\n")

    async def _get(self, path: str, rest: str) -> Answer:
        match path:
            case "/metrics":
                return await self._metrics(_accepted(rest))
            case "/states":
                return Answer(200, to_json(self._states()) + b"\n", JSON)
            case "/healthz":
                return Answer(200, b"ok\n")
            case "/readyz":
                why = await self._unready()
                return Answer(503, f"{why}\n".encode()) if why else Answer(200, b"ok\n")
            case _:
                return Answer(404, b"there are /metrics, /states, /healthz and /readyz\n")

    async def _metrics(self, accepted: str) -> Answer:
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Collected([*await self._collect(), *self._process.collect()]))
        encode, content_type = choose_encoder(accepted)
        # a thousand connections are some 50,000 lines of text, which the events must not wait for
        return Answer(200, await asyncio.to_thread(encode, registry), content_type)


class _Collected:
    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        return iter(self._families)


def wire(answer: Answer) -> bytes:
    head = (
        f"HTTP/1.1 {answer.status} {_STATUS[answer.status]}\r\nContent-Type: {answer.content_type}\r\n"
        f"Content-Length: {len(answer.body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode("latin-1") + answer.body


def _accepted(headers: str) -> str:
    for line in headers.split("\r\n"):
        name, _, value = line.partition(":")
        if name.strip().lower() == "accept":
            return value.strip()
    return ""
