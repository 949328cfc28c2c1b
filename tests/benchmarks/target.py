"""The destination of every benchmark: a lean HTTP server in its own process that answers after a while and counts.

``PATCH /records/<key>`` with ``{"n": 17, "key": "k3"}`` is one event; ``POST .../contacts``, ``.../batch/create`` and
``.../batch/upsert`` take HubSpot's contacts (the event's number is the property ``n``, its key the email), and
``.../batch/read`` says which of them are there. What arrived is in ``book.py``; ``/_bench/...`` is for the harness
(``far_end.py``).

    python -m tests.benchmarks.target [PEM]

``PEM``: a certificate and its key, for a second port that speaks TLS.

Not the sandbox of ``connectors/sandbox``: that one is made to answer like the vendors, this one to cost little beside
what is measured, which runs on the same cores: about 15 us for a single call, most of it in the kernel, and 2.5 us for
an event in a batch. (uvloop would save a tenth of that.) What it cost is among the figures.
"""

from __future__ import annotations

import asyncio
import gc
import json
import re
import signal
import ssl
import sys
import time
from collections import deque
from datetime import UTC, datetime
from typing import Any

from pydantic_core import from_json

from tests.benchmarks.book import Book, Script

OK = b'{"ok":true}'
ANSWER = b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\n%sContent-Length: %d\r\n\r\n%s"
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Server:
    def __init__(self) -> None:
        self.book = Book(Script())
        self.loop = asyncio.get_running_loop()
        self.tasks: set[asyncio.Task[None]] = set()
        self.due: deque[tuple[float, asyncio.Transport, bytes]] = deque()

    def serve(self, transport: asyncio.Transport, path: bytes, body: bytes) -> None:
        if path.startswith(b"/_bench/"):
            task = self.loop.create_task(self._control(transport, path.removeprefix(b"/_bench/").decode(), body))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
            return
        book = self.book
        book.requests += 1
        if book.script.throttle and book.requests * 37 % 100 < book.script.throttle:
            self._later(transport, 429, OK, b"Retry-After: 0.1\r\n")
        elif b"/contacts" in path:
            self._contacts(transport, path, from_json(body))
        else:
            self._one(transport, from_json(body) if body else {})

    def _one(self, transport: asyncio.Transport, event: dict[str, Any]) -> None:
        book = self.book
        n = event.get("n", book.script.events)
        if n >= book.script.events:
            self._later(transport, 200, OK)  # a probe, or an event that was not meant to be counted
            return
        now = self.loop.time()
        if "sent" in event:
            book.delays.append(time.time() - event["sent"])
        if "lane" in event:
            book.times.setdefault(event["lane"], []).append(now)
        self._later(transport, book.settle(n, event["key"], now), b'{"id":"%d","ok":true}' % n)

    def _contacts(self, transport: asyncio.Transport, path: bytes, asked: dict[str, Any]) -> None:
        if path.endswith(b"/batch/read"):
            there = [each["id"] for each in asked["inputs"] if each["id"] in self.book.newest]
            answer = {"status": "COMPLETE", "results": [_contact(email) for email in there]}
            self._later(transport, 200, json.dumps(answer).encode())
        elif path.endswith(b"/contacts"):
            self._later(transport, 201, self._settle(asked, self.loop.time()).encode())
        else:
            now = self.loop.time()
            results = ",".join([self._settle(each, now) for each in asked["inputs"]])
            self._later(transport, 200, f'{{"status":"COMPLETE","results":[{results}]}}'.encode())

    def _settle(self, contact: dict[str, Any], now: float) -> str:
        """The answer for one contact."""
        properties = contact["properties"]
        n, email = properties["n"], properties.get("email") or contact["id"]  # an upsert has it as the id only
        if int(n) < self.book.script.events:
            self.book.settle(int(n), email, now)
        return (
            f'{{"id":"{n}","new":false,"createdAt":"2026-01-01T00:00:00.000Z","archived":false,'
            f'"objectWriteTraceId":"{contact.get("objectWriteTraceId", "")}",'
            f'"properties":{{"email":"{email}","firstname":"{properties.get("firstname", "")}"}}}}'
        )

    def _later(self, transport: asyncio.Transport, status: int, body: bytes, headers: bytes = b"") -> None:
        """All answers wait equally long: they leave in the order of their requests, and one timer is enough."""
        answer = ANSWER % (status, headers, len(body), body)
        when = self.loop.time() + self.book.script.ms / 1_000
        self.due.append((when, transport, answer))
        self.book.at_once = max(self.book.at_once, len(self.due))
        if len(self.due) == 1:
            self.loop.call_at(when, self._answer)

    def _answer(self) -> None:
        now, due = self.loop.time(), self.due
        while due and due[0][0] <= now:
            _, transport, answer = due.popleft()
            _write(transport, answer)
        if due:
            self.loop.call_at(due[0][0], self._answer)

    def _answer_all(self) -> None:
        """Whoever still waits does so for the time of another script."""
        while self.due:
            _, transport, answer = self.due.popleft()
            _write(transport, answer)

    async def _control(self, transport: asyncio.Transport, what: str, body: bytes) -> None:
        answer: dict[str, Any] = {}
        if what == "reset":
            self._answer_all()
            self.book = Book(Script(**json.loads(body)))
        elif what == "first":
            await self.book.first.wait()
        elif what == "done":
            await self.book.done.wait()
        elif what == "lane":
            name, least = body.decode().split()
            while len(self.book.times.get(name, ())) < int(least) and not transport.is_closing():  # noqa: ASYNC110 - as below
                await asyncio.sleep(0.005)
        elif what == "requests":
            while self.book.requests < int(body) and not transport.is_closing():  # noqa: ASYNC110 - as below
                await asyncio.sleep(0.005)
        elif what == "settled":
            # seldom asked, and cheaper than a look at each event
            while self.book.settled < int(body) and not transport.is_closing():  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.005)
        else:
            answer = self.book.report()
        text = json.dumps(answer).encode()
        _write(transport, ANSWER % (200, b"", len(text), text))


def _contact(email: str) -> dict[str, Any]:
    return {"id": email, "createdAt": datetime.now(UTC).isoformat(), "properties": {"email": email}}


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
        buffer = self._buffer + data if self._buffer else data
        start = 0
        while (end := buffer.find(b"\r\n\r\n", start)) >= 0:
            length = LENGTH.search(buffer, start, end)
            after = end + 4 + (int(length[1]) if length else 0)
            if len(buffer) < after:
                break
            path = buffer[buffer.index(b" ", start) + 1 : end].split(b" ", 1)[0]
            self._server.serve(self._transport, path, buffer[end + 4 : after])
            start = after
        self._buffer = buffer[start:]


async def main(pem: str = "") -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    server = Server()
    listener = await loop.create_server(lambda: Connection(server), "127.0.0.1", 0, backlog=4_096)
    host, port = listener.sockets[0].getsockname()
    urls = {"url": f"http://{host}:{port}"}
    listeners = [listener]
    if pem:
        trusted = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        trusted.load_cert_chain(pem)
        listeners.append(
            await loop.create_server(lambda: Connection(server), "127.0.0.1", 0, backlog=4_096, ssl=trusted)
        )
        urls["tls_url"] = "https://{}:{}".format(*listeners[1].sockets[0].getsockname())
    print(json.dumps(urls), flush=True)
    gc.freeze()
    gc.set_threshold(50_000)  # a collection in the middle of a run would be the worker's to wait for
    await stop.wait()
    for listener in listeners:
        listener.close()


if __name__ == "__main__":
    sys.exit(asyncio.run(main(*sys.argv[1:])))
