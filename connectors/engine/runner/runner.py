"""Runs a manifest: the connector of a connection over HTTP."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from connectors.connections.tokens import ConnectionTokens
from connectors.contract import (
    Answer,
    Delivered,
    Down,
    Finding,
    Function,
    Page,
    Quota,
    Retry,
    Throttled,
    UnknownPolicy,
    Verdict,
)
from connectors.engine.auth.endpoint import NoToken
from connectors.engine.functions import ANY, limits_of, unknown_function
from connectors.engine.manifest.configuration import configure
from connectors.engine.manifest.model import Manifest, ObjectSpec
from connectors.engine.manifest.read import Sync
from connectors.engine.runner.calls import Prepared, compile_call
from connectors.engine.runner.delivery import deliver_batch, deliver_one
from connectors.engine.runner.expected import UNREADABLE, body_of
from connectors.engine.runner.find import find
from connectors.engine.runner.pace import Pace
from connectors.engine.runner.plan import Compiler, Plan, ReadPlan
from connectors.engine.runner.read import choose, read
from connectors.engine.runner.sender import Sender
from connectors.engine.runner.source import Asking, Source
from connectors.engine.runner.verdicts import refusal
from connectors.engine.runner.written import Identified, Written, identified, written
from connectors.engine.template.template import Scope
from connectors.engine.template.text import spelled
from connectors.engine.transport.failures import TransportFailure
from connectors.errors import CallFailed, UnknownFunction
from topics.event.event import Event, Operation


class HttpConnector:
    """One connection of one SaaS, as its manifest describes it; see ``connectors.contract.Connector``.

    ``now``: the time of day, for dates in ``Retry-After``. ``newest``: the newest manifest, for the message about a
    function that only that one has. ``tokens``: shares access tokens with other workers, and stores the secrets that
    the vendor replaces. Raises ``BadConnection``.
    """

    sender_type: type[Sender] = Sender
    writes_requests = False
    """Whether an event's fields describe a whole request, and not the fields of a record."""
    any_case: ClassVar[bool] = False
    """Whether the names of fields are case-insensitive."""

    def __init__(
        self,
        manifest: Manifest,
        settings: Mapping[str, Any],
        secrets: Mapping[str, str],
        limits: Mapping[str, Any] | None = None,
        *,
        on_unknown: Mapping[str, UnknownPolicy] | None = None,
        newest: Manifest | None = None,
        now: Callable[[], float] = time.time,  # noqa: TID251 - the edge: everything behind it is told the time
        tokens: ConnectionTokens | None = None,
    ) -> None:
        self.name = manifest.name
        self.version = manifest.version
        self.manifest = manifest
        self.limits = limits_of(manifest.limits, limits or {})
        configuration = configure(manifest, settings, secrets)
        self.values = configuration.values
        self.sender = self.sender_type(manifest, configuration, now=now, tokens=tokens)
        self.compiler = Compiler(manifest, configuration, self.sender.base, self.sender.redact, dict(on_unknown or {}))
        self.asking = self.compiler.rules(idempotent=True)
        """The rules for calls that only read."""
        self.sender.pace, self.sender.rules = Pace(self.limits), self.asking
        self._newest = newest
        self._plans: dict[tuple[str, Operation], Plan] = {}
        self._reads: dict[tuple[str, str], ReadPlan] = {}
        self._known: set[str] = set()
        for name in manifest.objects:
            self._know(name)
        self._syncs = manifest.syncs()

    @classmethod
    def kind(cls, manifest: Manifest, object_name: str) -> ObjectSpec | None:
        """What can be done with records of this kind; None when there is no such kind."""
        return manifest.objects.get(object_name) or manifest.objects.get(ANY)

    def function(self, object_name: str, operation: Operation) -> Function:
        return self.plan(object_name, operation).function

    def plan(self, object_name: str, operation: Operation) -> Plan:
        """The plan of a function. Raises ``UnknownFunction``."""
        if object_name not in self._known:
            self._know(object_name)
        plan = self._plans.get((object_name, operation))
        if plan is None:
            raise UnknownFunction(unknown_function(f"{object_name}.{operation}", self.manifest, self._newest))
        return plan

    def named(self, object_name: str, operation: Operation, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        """The fields under the vendor's names. Raises ``UnknownFunction``."""
        respell = self.plan(object_name, operation).respell
        return fields if respell is None else respell(fields)

    def record_key(self, object_name: str, operation: Operation, fields: Mapping[str, Any]) -> str | None:
        plan = self.plan(object_name, operation)
        if plan.key is None:
            return None
        return plan.key(spelled(fields, plan.unique) if self.any_case else fields)

    def refuses(self, object_name: str, operation: Operation, fields: Mapping[str, Any]) -> str | None:  # noqa: ARG002
        return None

    async def deliver(self, batch: Sequence[Event]) -> list[Verdict]:
        plan = self.plan(batch[0].object, batch[0].operation)
        if plan.batch is not None and (len(batch) > 1 or plan.call is None):
            return await deliver_batch(self.sender, plan, plan.batch, batch)
        assert plan.call is not None
        return [await deliver_one(self.sender, plan.call, plan.rules, plan.scope(event), event) for event in batch]

    async def find(self, events: Sequence[Event]) -> list[Finding]:
        plan = self.plan(events[0].object, events[0].operation)
        if self.any_case:
            events = [event.model_copy(update={"fields": spelled(event.fields, plan.unique)}) for event in events]
        return await find(self.sender, plan, self.asking, events)

    async def read(self, object_name: str, query: Mapping[str, Any], bookmark: str | None = None) -> Page:
        """Read one record (a query with ``id``), those with a value (``searchfield``, ``searchterm``), or a list."""
        self._know(object_name)
        unique = self.compiler.unique(object_name, self.kind(self.manifest, object_name))
        plan = choose(self._reads, object_name, query, unique)
        return await read(self.sender, plan, self.asking, query, bookmark=bookmark, unique=unique)

    async def call(
        self,
        path: str,
        *,
        method: str = "get",
        body: Any = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        try:
            url = self.sender.absolute(path)
        except ValueError as error:
            raise CallFailed(str(error)) from error
        import httpx  # noqa: PLC0415 - deliveries do without

        request = httpx.Request(
            method.upper(),
            httpx.URL(url).copy_merge_params({**self.sender.base.params, **(params or {})}),
            json=body,
            headers={**self.sender.base.headers, **(headers or {})},
        )
        sent = {name: value for name, value in request.headers.items() if name not in {"host", "content-length"}}
        reply = await self.sender.ask(Prepared(request.method, str(request.url), sent, request.content or None))
        detail = body_of(reply)
        if reply.status >= 400:
            raise self.sender.call_failed(reply, detail, self.asking, self.sender.base.expected)
        text = reply.body.decode("utf-8", errors="replace") if detail is UNREADABLE else detail
        return Answer(reply.status, text, dict(reply.headers))

    def syncs(self) -> dict[str, Sync]:
        """The kinds of records that can be read into the warehouse."""
        return self._syncs

    def synced_as(self, object_name: str) -> str | None:
        """The kind of record under which these are read into the warehouse; None when they are not."""
        return object_name if object_name in self.syncs() else None

    def written(self, event: Event) -> Written | None:
        """What the event has written, as a refresh would read it; None when no refresh reads it.

        Raises ``UnknownFunction``.
        """
        name = self.synced_as(event.object)
        if name is None:
            return None
        told, fields = self.identified(name), self.named(event.object, event.operation, event.fields)
        return written(event, name, told, spelled(fields, told.field) if self.any_case else fields)

    def identified(self, name: str) -> Identified:
        """How a record of this kind is found in the warehouse."""
        return identified(self.syncs()[name])

    def source(self, object_name: str, pace: Pace | None = None) -> Source:
        """How one kind of record is read into the warehouse. Raises ``UnknownFunction``, which lists the kinds."""
        specs = self.syncs()
        if object_name not in specs:
            known = ", ".join(specs) or "nothing"
            raise UnknownFunction(
                f"cannot refresh {object_name}: connector {self.manifest.name} {self.manifest.version} reads {known}"
            )
        spec = self.manifest.objects.get(object_name)
        static = {"settings": self.values, "object": dict(spec.variables) if spec else {}}
        asking = Asking(self.sender, self.asking, pace or Pace(self.limits))
        return Source(object_name, specs[object_name], static, asking)

    async def probe(self) -> Delivered | Down | Throttled:
        assert self.manifest.probe is not None  # every manifest for http has one
        call = compile_call(self.manifest.probe, self.sender.base, {"settings": self.values, "object": {}})
        try:
            reply = await self.sender.send(call.prepare(Scope({})))
        except TransportFailure as failure:
            return Down(self.sender.redact(failure.reason))
        except NoToken as none:
            return none.verdict
        body = call.expected.body_of(reply)
        match refusal(reply, body, self.asking, call.expected, self.sender.now()):
            case None:
                return Delivered(None if body is UNREADABLE else call.detail_at(body))
            case Throttled() | Down() as verdict:
                return verdict
            case Retry(reason=reason, after=after, evidence=evidence):
                return Down(reason, after, evidence)
            case _:
                # it answers, and accepts our credentials: whatever is wrong with this request, the probe succeeds
                return Delivered({"note": f"HTTP {reply.status}"})

    def rehearsed(self, asked: Prepared, events: Sequence[Event]) -> Any:  # noqa: ARG002
        """What the vendor might answer to a question that comes before the request itself, for ``connectors try``.

        JSON; what only the vendor knows is a name in brackets. None: this is no such question. ``events``: what is
        delivered, none for a read.
        """
        return None

    def quota(self) -> Quota | None:
        return self.sender.take_quota()

    async def close(self) -> None:
        await self.sender.close()

    def _know(self, object_name: str) -> None:
        """Compile the functions of a kind of record, when it is used for the first time."""
        spec = None if object_name in self._known else self.kind(self.manifest, object_name)
        if spec is None:
            return
        plans = self.compiler.plans_of(object_name, spec)
        self._plans |= {key: self._adapted(plan) for key, plan in plans.items()}
        self._reads |= self.compiler.reads_of(object_name, spec)
        self._known.add(object_name)

    def _adapted(self, plan: Plan) -> Plan:
        """A hook for subclasses that do something differently from the manifest."""
        return plan
