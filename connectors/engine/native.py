"""The base of connectors that do not use HTTP: the manifest lists the functions, and a class carries them out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from connectors.contract import (
    Answer,
    CannotTell,
    Delivered,
    Down,
    Finding,
    Function,
    Page,
    Quota,
    Throttled,
    UnknownPolicy,
    Verdict,
)
from connectors.engine.functions import ANY, is_idempotent, limits_of, on_unknown_of, unknown_function, with_synonyms
from connectors.engine.manifest.configuration import values_of
from connectors.engine.manifest.model import Manifest, ObjectSpec
from connectors.engine.manifest.requests import Operation
from connectors.engine.template.keys import Key, compile_key
from connectors.engine.transport.addresses import AddressGuard
from connectors.engine.transport.redact import Redactor
from connectors.errors import CallFailed, UnknownFunction
from topics.event.event import Event
from topics.event.event import Operation as OperationName


class NativeConnector(ABC):
    """One connection; see ``connectors.contract.Connector``. A subclass implements deliver, probe and close.

    ``values``: settings, defaults and secrets. ``redact`` hides the secrets. ``guard`` decides which addresses it may
    connect to. Raises ``BadConnection``.
    """

    any_case: ClassVar[bool] = False
    """Whether the names of fields are case-insensitive."""
    finds: ClassVar[frozenset[OperationName]] = frozenset()
    """The operations for which ``find`` can tell whether they were done."""

    def __init__(
        self,
        manifest: Manifest,
        settings: Mapping[str, Any],
        secrets: Mapping[str, str],
        limits: Mapping[str, Any] | None = None,
        *,
        on_unknown: Mapping[str, UnknownPolicy] | None = None,
        newest: Manifest | None = None,
    ) -> None:
        self.name = manifest.name
        self.version = manifest.version
        self.manifest = manifest
        self.limits = limits_of(manifest.limits, limits or {})
        self.values = values_of(manifest, settings, secrets)
        self.redact = Redactor(secrets.values())
        self.guard = AddressGuard(settings.get("allow_private_addresses", False))
        self.timeout_seconds = float(settings.get("timeout_seconds", manifest.timeout_seconds))
        self._newest = newest
        self._on_unknown = dict(on_unknown or {})
        self._known: dict[tuple[str, OperationName], tuple[Function, Key | None]] = {}

    @classmethod
    def kind(cls, manifest: Manifest, object_name: str) -> ObjectSpec | None:
        """What can be done with records of this kind; None when there is no such kind."""
        return manifest.objects.get(object_name) or manifest.objects.get(ANY)

    def function(self, object_name: str, operation: OperationName) -> Function:
        return self._function(object_name, operation)[0]

    def record_key(self, object_name: str, operation: OperationName, fields: Mapping[str, Any]) -> str | None:
        key = self._function(object_name, operation)[1]
        return None if key is None else key(fields)

    def refuses(self, object_name: str, operation: OperationName, fields: Mapping[str, Any]) -> str | None:  # noqa: ARG002
        return None

    def _function(self, object_name: str, operation: OperationName) -> tuple[Function, Key | None]:
        known = self._known.get((object_name, operation))
        if known is None:
            spec = self.kind(self.manifest, object_name)
            one = None if spec is None else with_synonyms(spec.operations).get(operation)
            if spec is None or one is None:
                raise UnknownFunction(unknown_function(f"{object_name}.{operation}", self.manifest, self._newest))
            known = self._known[object_name, operation] = self._made(object_name, operation, spec, one)
        return known

    def _made(
        self, object_name: str, operation: OperationName, spec: ObjectSpec, one: Operation
    ) -> tuple[Function, Key | None]:
        unique = self.unique(object_name, spec)
        static = {"settings": self.values, "object": spec.variables}
        key = None if one.key is None else compile_key(one.key, static, unique, spec.aliases)
        function = Function(
            object_name,
            operation,
            batch_max=one.maximum,
            idempotent=is_idempotent(operation, one),
            findable=operation in self.finds,
            settle_after=one.settle_after,
            on_unknown=on_unknown_of(operation, one, self._on_unknown),
            key_interval=one.key_interval,
        )
        return function, key

    def unique(self, object_name: str, spec: ObjectSpec) -> str | None:
        """The field that is unique among records."""
        configured = self.values.get(self.manifest.unique_setting or "")
        named = configured.get(object_name) if isinstance(configured, dict) else None
        return str(named) if named is not None else spec.unique

    @abstractmethod
    async def deliver(self, batch: Sequence[Event]) -> list[Verdict]: ...

    @abstractmethod
    async def probe(self) -> Delivered | Down | Throttled: ...

    @abstractmethod
    async def close(self) -> None: ...

    async def find(self, events: Sequence[Event]) -> list[Finding]:
        return [CannotTell(f"{self.manifest.title} cannot be asked what became of a call")] * len(events)

    async def read(self, object_name: str, query: Mapping[str, Any], bookmark: str | None = None) -> Page:  # noqa: ARG002
        raise CallFailed(f"{object_name} cannot be read from {self.manifest.title}")

    async def call(
        self,
        path: str,
        *,
        method: str = "get",  # noqa: ARG002
        body: Any = None,  # noqa: ARG002
        params: Mapping[str, Any] | None = None,  # noqa: ARG002
        headers: Mapping[str, str] | None = None,  # noqa: ARG002
    ) -> Answer:
        raise CallFailed(f"{path}: {self.manifest.title} is no HTTP API; there are no raw calls")

    def quota(self) -> Quota | None:
        return None
