"""A vendor that answers as it is told: a real HTTP server on a free port, down to resets in the middle of a request."""

from __future__ import annotations

import asyncio
import socket
import struct
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal, Self

Behaviour = Literal["answer", "hang", "reset_unread", "reset_read", "close_read", "break_body", "garble"]


@dataclass(frozen=True)
class Told:
    """``reset_unread``: hangs up before the request was read; ``reset_read``: after; ``break_body``: in the answer."""

    status: int = 200
    body: bytes = b"{}"
    headers: tuple[tuple[str, str], ...] = ()
    behaviour: Behaviour = "answer"


@dataclass
class Received:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Vendor:
    """``told`` is what every request gets; ``script`` comes first, one each."""

    told: Told = field(default_factory=Told)
    script: list[Told] = field(default_factory=list)
    received: list[Received] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    connections: int = 0
    url: str = ""

    async def __aenter__(self) -> Self:
        self._writers: set[asyncio.StreamWriter] = set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.close()
        for writer in tuple(self._writers):
            writer.transport.abort()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        try:
            while await self._one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client hung up: its right
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        start = await reader.readexactly(1)
        told = self.script[0] if self.script else self.told
        if told.behaviour == "reset_unread":
            return _reset(writer)
        received = await _request(reader, start)
        self.received.append(received)
        self.arrived.set()
        if self.script:
            self.script.pop(0)
        return await self._answer(told, reader, writer)

    async def _answer(self, told: Told, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        if told.behaviour == "hang":
            await reader.read()
        elif told.behaviour == "garble":
            writer.write(b"this is not HTTP\r\n\r\n")
        elif told.behaviour == "break_body":
            writer.write(_head(told, len(told.body) + 10) + told.body)
        elif told.behaviour == "answer":
            writer.write(_head(told, len(told.body)) + (b"" if told.status == 204 else told.body))
        await writer.drain()
        return _reset(writer) if told.behaviour in {"reset_read", "break_body"} else told.behaviour == "answer"


def _reset(writer: asyncio.StreamWriter) -> bool:
    raw = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
    return False


def _head(told: Told, length: int) -> bytes:
    lines = [f"HTTP/1.1 {told.status} Told"]
    if not any(name == "Content-Type" for name, _ in told.headers):
        lines.append("Content-Type: application/json")
    lines += [f"{name}: {value}" for name, value in told.headers]
    if told.status != 204:
        lines.append(f"Content-Length: {length}")
    return "\r\n".join([*lines, "", ""]).encode()


async def _request(reader: asyncio.StreamReader, start: bytes) -> Received:
    head = (start + await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, path, _ = head[0].split(" ", 2)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Received(method, path, headers, body)


def refused_port() -> str:
    """A port on which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}"
