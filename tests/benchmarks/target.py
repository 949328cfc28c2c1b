"""The far end of every benchmark: a lean HTTP server in its own process that answers after a while and counts.

``PATCH /records/<key>`` with ``{"n": 17, "key": "k3"}`` is one event; ``POST .../batch/upsert`` takes HubSpot's batches
of contacts (the event's number is the property ``n``, its key the email). Every event is counted by its number, so that
what is lost, doubled or out of order on its key is seen. ``/_bench/...`` is for the harness (``far_end.py``).

Not the sandbox of ``connectors/sandbox``: that one is made to answer like the vendors, this one to cost little beside
what is measured, which runs on the same cores.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

OK = b'{"ok":true}'


@dataclass
class Script:
    """What to answer.

    ``poison``: one event of so many is refused for good; ``throttle``: so many of 100 requests get a 429; ``dead``: a
    path's prefix that always answers 503.
    """

    events: int = 0
    ms: float = 50.0
    poison: int = 0
    throttle: int = 0
    dead: str = ""


class Book:
    """What arrived. An event is settled when it was accepted, or refused for good."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.requests = 0
        self.accepted = bytearray(script.events)
        self.refused = bytearray(script.events)
        self.settled = 0
        self.disordered = 0
        self.newest: dict[str, int] = {}
        self.first_at = self.last_at = 0.0
        self.delays: list[float] = []
        self.times: dict[str, list[float]] = {}
        self.first = asyncio.Event()
        self.done = asyncio.Event()

    def settle(self, n: int, key: str, now: float) -> int:
        """The status for one event."""
        if not self.first_at:
            self.first_at = now
            self.first.set()
        script = self.script
        if script.poison and n % script.poison == script.poison // 2:
            return self._refuse(n, now)
        times = self.accepted[n]
        if not times:
            self._new(now)
            if n < self.newest.get(key, -1):
                self.disordered += 1
            else:
                self.newest[key] = n
        self.accepted[n] = min(times + 1, 255)
        return 200

    def _refuse(self, n: int, now: float) -> int:
        if not self.refused[n]:
            self._new(now)
        self.refused[n] = min(self.refused[n] + 1, 255)
        return 422

    def _new(self, now: float) -> None:
        self.last_at = now
        self.settled += 1
        if self.settled == self.script.events:
            self.done.set()

    def report(self) -> dict[str, Any]:
        return {
            "requests": self.requests,
            "settled": self.settled,
            "lost": self.script.events - self.settled,
            "doubled": sum(1 for times in self.accepted if times > 1),
            "refused": sum(1 for times in self.refused if times),
            "refusals": sum(self.refused),
            "disordered": self.disordered,
            "seconds": self.last_at - self.first_at,
            "delays": self.delays,
            "times": self.times,
        }


class Server:
    def __init__(self) -> None:
        self.book = Book(Script())
        self.loop = asyncio.get_running_loop()
        self.tasks: set[asyncio.Task[None]] = set()

    def serve(self, transport: asyncio.Transport, path: str, body: bytes) -> None:
        if path.startswith("/_bench/"):
            task = self.loop.create_task(self._control(transport, path.removeprefix("/_bench/"), body))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
            return
        book = self.book
        book.requests += 1
        script = book.script
        if script.dead and path.startswith(script.dead):
            self._later(transport, 503, OK)
        elif script.throttle and book.requests * 37 % 100 < script.throttle:
            self._later(transport, 429, OK, "Retry-After: 0.1\r\n")
        elif path.endswith("/batch/upsert"):
            self._later(transport, 200, self._batch(from_json(body)["inputs"]))
        else:
            self._one(transport, path, from_json(body) if body else {})

    def _one(self, transport: asyncio.Transport, path: str, event: dict[str, Any]) -> None:
        if event.get("n", self.book.script.events) >= self.book.script.events:
            self._later(transport, 200, OK)  # a probe, or an event that a slow peer was not meant to get to
            return
        now = self.loop.time()
        if "sent" in event:
            self.book.delays.append(time.time() - event["sent"])
        lane = event.get("lane")
        if lane is not None:
            self.book.times.setdefault(lane, []).append(now)
        status = self.book.settle(event["n"], event["key"], now)
        self._later(transport, status, b'{"id":"%d","ok":true}' % event["n"])

    def _batch(self, inputs: list[dict[str, Any]]) -> bytes:
        now = self.loop.time()
        results = []
        for each in inputs:
            properties = each["properties"]
            n, email = properties["n"], properties["email"]
            self.book.settle(int(n), email, now)
            results.append(
                f'{{"id":"{n}","new":false,"createdAt":"2026-01-01T00:00:00.000Z","archived":false,'
                f'"objectWriteTraceId":"{each.get("objectWriteTraceId", "")}",'
                f'"properties":{{"email":"{email}","firstname":"{properties.get("firstname", "")}"}}}}'
            )
        return ('{"status":"COMPLETE","results":[' + ",".join(results) + "]}").encode()

    def _later(self, transport: asyncio.Transport, status: int, body: bytes, headers: str = "") -> None:
        head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
        answer = head.encode() + body
        if self.book.script.ms:
            self.loop.call_later(self.book.script.ms / 1_000, _write, transport, answer)
        else:
            _write(transport, answer)

    async def _control(self, transport: asyncio.Transport, what: str, body: bytes) -> None:
        answer: dict[str, Any] = {}
        if what == "reset":
            self.book = Book(Script(**json.loads(body)))
        elif what == "first":
            await self.book.first.wait()
        elif what == "done":
            await self.book.done.wait()
        elif what == "lane":
            name, least = body.decode().split()
            while len(self.book.times.get(name, ())) < int(least):  # noqa: ASYNC110 - as below
                await asyncio.sleep(0.005)
        elif what == "requests":
            while self.book.requests < int(body):  # noqa: ASYNC110 - as below
                await asyncio.sleep(0.005)
        elif what == "settled":
            wanted = int(body)
            while self.book.settled < wanted:  # noqa: ASYNC110 - seldom asked, and cheaper than a look at each event
                await asyncio.sleep(0.005)
        else:
            answer = self.book.report()
        text = json.dumps(answer).encode()
        _write(
            transport, b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(text)
        )
        _write(transport, text)


def _write(transport: asyncio.Transport, data: bytes) -> None:
    if not transport.is_closing():
        transport.write(data)


class Connection(asyncio.Protocol):
    """Enough of HTTP/1.1 for the clients at hand: a content length, keep-alive, nothing else."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end]
            lower = head.lower()
            place = lower.find(b"\r\ncontent-length:")
            length = int(lower[place + 17 :].split(b"\r\n", 1)[0]) if place >= 0 else 0
            if len(self._buffer) < end + 4 + length:
                return
            body = self._buffer[end + 4 : end + 4 + length]
            self._buffer = self._buffer[end + 4 + length :]
            self._server.serve(self._transport, head.split(b" ", 2)[1].decode(), body)


async def main() -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    server = Server()
    listener = await loop.create_server(lambda: Connection(server), "127.0.0.1", 0, backlog=4_096)
    host, port = listener.sockets[0].getsockname()
    print(json.dumps({"url": f"http://{host}:{port}"}), flush=True)
    await stop.wait()
    listener.close()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
