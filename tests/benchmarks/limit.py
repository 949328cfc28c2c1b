"""The limit: a bare asyncio loop that makes the same requests, with nothing around it. A process of its own.

    python -m tests.benchmarks.limit httpx|transport URL EVENTS KEYS CONCURRENCY

``httpx``: an httpx client on the aiohttp transport, what one would write by hand. ``transport``: our own way of calling
(``connectors/engine/transport/session.py``), without the worker around it.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Iterator

import httpx
from httpx_aiohttp import AiohttpTransport

from connectors.engine.transport.addresses import AddressGuard
from connectors.engine.transport.session import Transport
from tests.benchmarks.work import fields_of

Ask = Callable[[str, dict[str, object]], Awaitable[int]]


async def with_httpx(url: str, work: Callable[[Ask], Awaitable[None]]) -> None:
    async with httpx.AsyncClient(transport=AiohttpTransport(limits=httpx.Limits(max_connections=None))) as client:

        async def ask(path: str, body: dict[str, object]) -> int:
            return (await client.patch(f"{url}/{path}", json=body, timeout=120)).status_code

        await work(ask)


async def with_transport(url: str, work: Callable[[Ask], Awaitable[None]]) -> None:
    transport = Transport(AddressGuard(allow=True))
    headers = {"Content-Type": "application/json", "Accept": "application/json"}

    async def ask(path: str, body: dict[str, object]) -> int:
        content = json.dumps(body).encode()
        return (await transport.exchange("PATCH", f"{url}/{path}", headers, content, seconds=120)).status

    await work(ask)
    await transport.aclose()


async def pull(work: Iterator[int], keys: int, ask: Ask) -> None:
    for n in work:
        fields = fields_of(n, keys)
        assert await ask(fields["path"], fields["body"]) == 200


async def main(kind: str, url: str, events: int, keys: int, concurrency: int) -> None:
    numbers = iter(range(events))

    async def work(ask: Ask) -> None:
        await asyncio.gather(*(pull(numbers, keys, ask) for _ in range(concurrency)))

    await (with_httpx if kind == "httpx" else with_transport)(url, work)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], *(int(argument) for argument in sys.argv[3:6])))
