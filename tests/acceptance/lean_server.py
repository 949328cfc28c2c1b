"""A destination for very many requests: in a thread of the test, with next to no cost."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Answer = Callable[[str, str, bytes], bytes]
"""What is sent for method, path and body: see ``answer``."""


def answer(body: bytes = b"{}", *, status: str = "200 OK", headers: str = "") -> bytes:
    """``headers``: lines, each with its end."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
    return head.encode() + body


class _Conversation(asyncio.Protocol):
    def __init__(self, asked: Answer, latency: float) -> None:
        self._asked = asked
        self._latency = latency
        self._unread = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._unread += data
        while (end := self._unread.find(b"\r\n\r\n")) >= 0:
            lines = self._unread[:end].decode("latin-1").split("\r\n")
            lengths = [int(line[15:]) for line in lines if line.lower().startswith("content-length:")]
            whole = end + 4 + sum(lengths)
            if len(self._unread) < whole:
                return
            method, path, _ = lines[0].split(" ", 2)
            body, self._unread = self._unread[end + 4 : whole], self._unread[whole:]
            self._later(self._asked(method, path, body))

    def _later(self, answered: bytes) -> None:
        if self._latency:
            asyncio.get_running_loop().call_later(self._latency, self._write, answered)
        else:
            self._write(answered)

    def _write(self, answered: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(answered)


@contextmanager
def serving(asked: Answer, *, latency: float = 0.0) -> Iterator[str]:
    """Its URL, while it listens. ``latency``: seconds from a request to its answer."""
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(loop.create_server(lambda: _Conversation(asked, latency), "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        server.close()
        loop.close()
