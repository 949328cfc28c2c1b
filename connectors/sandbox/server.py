"""The sandbox's sockets, and the way of a request through it: describe, admit, fate, perform, answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from aiohttp import web

from connectors.sandbox.call import Answer, Call
from connectors.sandbox.control import Control
from connectors.sandbox.faults import Dice, Fate, Faults
from connectors.sandbox.hubspot import HubSpot
from connectors.sandbox.ledger import Entry, Ledger
from connectors.sandbox.odoo.wires import Odoo
from connectors.sandbox.outage import Outage
from connectors.sandbox.salesforce.rest import Salesforce
from connectors.sandbox.sheets.rest import Sheets
from connectors.sandbox.slack import Slack
from connectors.sandbox.xero.wires import Xero

_EPOCH: Callable[[], float] = time.time  # noqa: TID251 - the vendor's own clock: timestamps in its answers
_GONE_POLL_SECONDS = 0.2


class Vendor(Protocol):
    """What ``hubspot.py``, ``slack.py``, ``odoo/wires.py`` and those of the other folders are."""

    name: str

    def claims(self, path: str) -> bool: ...
    def describe(self, call: Call) -> tuple[list[Entry], bool]: ...
    def admit(self, call: Call) -> Answer | None: ...
    def perform(self, call: Call, entries: list[Entry]) -> Answer: ...
    def throttled(self, call: Call, fate: Fate) -> Answer: ...
    def unavailable(self, call: Call) -> Answer: ...
    def state(self) -> dict[str, object]: ...
    def set_faults(self, faults: Faults) -> None: ...


class Sandbox:
    """An asynchronous context manager; ``url`` is where it listens.

    ``latency`` seconds pass per request, batch or not, half of them before the write is carried out. ``faults`` by
    vendor. ``keep=False``: the ledger counts only.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        seed: int = 0,
        latency: float = 0.05,
        faults: Mapping[str, Faults] | None = None,
        outage: Outage | None = None,
        hubspot: HubSpot | None = None,
        slack: Slack | None = None,
        odoo: Odoo | None = None,
        salesforce: Salesforce | None = None,
        sheets: Sheets | None = None,
        xero: Xero | None = None,
        journal: Path | None = None,
        keep: bool = True,
    ) -> None:
        self.hubspot = hubspot or HubSpot(Faults())
        self.slack = slack or Slack(Faults())
        self.odoo = odoo or Odoo(Faults())
        self.xero = xero or Xero(Faults())
        self.salesforce = salesforce or Salesforce(Faults())
        self.google_sheets = sheets or Sheets(Faults())
        apart = (self.odoo, self.salesforce, self.google_sheets, self.xero)
        self._vendors: tuple[Vendor, ...] = (*apart, self.hubspot, self.slack)
        self.dice: dict[str, Dice] = {}
        for vendor in self._vendors:
            going_wrong = (faults or {}).get(vendor.name, Faults())
            vendor.set_faults(going_wrong)
            self.dice[vendor.name] = Dice(seed, going_wrong)
        self.ledger = Ledger(journal, keep=keep)
        self.latency = latency
        self.outage = outage
        self.outages: list[tuple[float, float]] = []
        self.requests = 0
        self._host, self._port = host, port
        self._control = Control(self)
        self._unavailable_until = 0.0
        self._closing = False
        self._timers: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://{self._host}:{self._port}"

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._web = web.Server(self._handle, access_log=None)
        await self._listen()
        if self.outage and self.outage.at is not None:
            self.begin_outage(self.outage, delay=self.outage.at)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing = True
        for timer in self._timers:
            timer.cancel()
        self._refuse()
        await self._web.shutdown(timeout=0.5)
        self.ledger.close()

    def begin_outage(self, outage: Outage, delay: float = 0.0) -> None:
        timer = self._loop.create_task(self._be_out(outage, delay))
        self._timers.add(timer)
        timer.add_done_callback(self._timers.discard)

    async def _listen(self) -> None:
        self._listener = await self._loop.create_server(self._web, self._host, self._port, backlog=1_024)
        self._port = self._listener.sockets[0].getsockname()[1]

    async def _be_out(self, outage: Outage, delay: float) -> None:
        await asyncio.sleep(delay)
        began = self._loop.time()
        self.outages.append((began, began + outage.seconds))
        if outage.kind == "unavailable":
            self._unavailable_until = began + outage.seconds
            return
        self._refuse()
        await asyncio.sleep(outage.seconds)
        await self._listen()

    def _refuse(self) -> None:
        self._listener.close()
        for connection in list(self._web.connections):
            if connection.transport is not None:
                connection.transport.abort()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        path = request.path
        for vendor in self._vendors:
            if vendor.claims(path):
                return await self._serve(vendor, request, self._call(request, body))
        return _response(await self._control.serve(request, body))

    def _call(self, request: web.BaseRequest, body: bytes) -> Call:
        self.requests += 1
        authorization = request.headers.get("Authorization", "")
        scheme, _, token = authorization.partition(" ")
        return Call(
            number=self.requests,
            method=request.method,
            path=request.path,
            query={name: request.query.getall(name) for name in request.query} if request.query_string else {},
            content_type=request.content_type,
            token=token.strip() if scheme.lower() == "bearer" else "",
            body=body,
            now=self._loop.time(),
            at=_EPOCH(),
            authorization=authorization,
            headers=request.headers,
        )

    async def _serve(self, vendor: Vendor, request: web.BaseRequest, call: Call) -> web.StreamResponse:
        self._count_towards_outage()
        entries, reads = vendor.describe(call)
        done = vendor.admit(call)
        fate = None if done else self._fate(vendor, call, reads=reads)
        await self._pass_half()
        if done is None:
            done = self._carry_out(vendor, call, entries, fate)
        self._settle(entries, done, fate)
        if fate and fate.kind == "dropped":
            return self._drop(request)
        if fate and fate.kind == "hung":
            return await self._hang(request)
        await self._pass_half()
        now = self._loop.time()
        for entry in entries:
            entry.answered = now
        return _response(done)

    def _fate(self, vendor: Vendor, call: Call, *, reads: bool) -> Fate | None:
        if self._unavailable_until > call.now:
            return Fate("unavailable")
        return self.dice[vendor.name].fate(call, reads=reads)

    def _carry_out(self, vendor: Vendor, call: Call, entries: list[Entry], fate: Fate | None) -> Answer:
        done = vendor.perform(call, entries) if fate is None or fate.performed else Answer(0)
        if fate is None or fate.kind in {"hung", "dropped"}:
            return done
        if fate.kind == "throttled":
            return vendor.throttled(call, fate)
        if fate.kind == "unavailable":
            return vendor.unavailable(call)
        return Answer(fate.status, fate.body.encode(), dict(fate.headers))

    def _settle(self, entries: list[Entry], done: Answer, fate: Fate | None) -> None:
        now = self._loop.time()
        for entry in entries:
            entry.done = now
            if fate is not None:
                entry.fault = fate.kind
                entry.outcome = fate.kind if fate.kind in {"hung", "dropped"} else str(done.status)
            entry.outcome = entry.outcome or str(done.status)
        self.ledger.write(entries)

    async def _pass_half(self) -> None:
        if self.latency:
            await asyncio.sleep(self.latency / 2)

    def _count_towards_outage(self) -> None:
        outage = self.outage
        if outage and outage.after_requests is not None and self.requests > outage.after_requests:
            self.outage = None
            self.begin_outage(outage)

    def _drop(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=500)

    async def _hang(self, request: web.BaseRequest) -> web.StreamResponse:
        while request.transport is not None and not self._closing:  # noqa: ASYNC110 - aiohttp has no event for it
            await asyncio.sleep(_GONE_POLL_SECONDS)
        return web.Response(status=500)


def _response(done: Answer) -> web.Response:
    response = web.Response(status=done.status, body=done.body, headers=done.headers)
    if done.body and "Content-Type" not in done.headers:
        response.headers["Content-Type"] = done.content_type
    return response
