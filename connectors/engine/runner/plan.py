"""A connector's functions, compiled from its manifest and one connection's configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from connectors.contract import Function, UnknownPolicy
from connectors.engine.functions import is_idempotent, on_unknown_of, with_synonyms
from connectors.engine.manifest.configuration import Configuration
from connectors.engine.manifest.model import Manifest, ObjectSpec
from connectors.engine.manifest.requests import Batch, Find, Operation, ReadRequest
from connectors.engine.runner.batch import Attribute, compile_attribution
from connectors.engine.runner.calls import Base, Call, ManifestCall, compile_call
from connectors.engine.runner.verdicts import Rules, compile_rules
from connectors.engine.template.aliases import Respell, compile_aliases
from connectors.engine.template.keys import Key, compile_key
from connectors.engine.template.paths import Look, compile_path
from connectors.engine.template.placeholders import fields_named
from connectors.engine.template.template import Render, Scope, Static, compile_value
from connectors.engine.transport.redact import Redactor
from topics.event.event import Event
from topics.event.event import Operation as OperationName


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """The batch endpoint of an operation."""

    call: ManifestCall
    item: Render
    attribute: Attribute
    item_status: Look | None
    rules: Rules
    idempotency_header: str | None = None
    """The header for a key of the whole batch: sent again unchanged, the vendor carries it out only once."""


@dataclass(frozen=True, slots=True)
class FindPlan:
    """How to ask whether an operation has happened."""

    call: Call
    item: Render
    maximum: int
    records: Look
    properties: Look
    others: str | None
    created: Look | None
    errors: Look | None
    absent: frozenset[str]


@dataclass(frozen=True, slots=True)
class Plan:
    """One function, ready to be run."""

    function: Function
    unique: str | None
    rules: Rules
    call: Call | None = None
    batch: BatchPlan | None = None
    find: FindPlan | None = None
    key: Key | None = None
    respell: Respell | None = None

    def scope(self, event: Event) -> Scope:
        """The values for the event's request: its fields under the vendor's names."""
        fields = event.fields if self.respell is None else self.respell(event.fields)
        return Scope(fields, event, self.unique)


@dataclass(frozen=True, slots=True)
class ReadPlan:
    """One way of reading one kind of record."""

    call: ManifestCall
    records: Look
    bookmark: Look | None
    absent: frozenset[int]
    takes: frozenset[str]
    """The names that a query may have."""


@dataclass(frozen=True, slots=True)
class Compiler:
    """Turns the parts of a manifest into plans, for one connection."""

    manifest: Manifest
    configuration: Configuration
    base: Base
    redact: Redactor
    on_unknown: Mapping[str, UnknownPolicy]

    def plans_of(self, name: str, spec: ObjectSpec) -> dict[tuple[str, OperationName], Plan]:
        """The functions of one kind of record; if there is only one of ``message`` and ``add``, it serves for both."""
        return {
            (name, operation): self._plan(name, operation, spec, one)
            for operation, one in with_synonyms(spec.operations).items()
        }

    def reads_of(self, name: str, spec: ObjectSpec) -> dict[tuple[str, str], ReadPlan]:
        """By object and by get, list, find, find_unique."""
        return {
            (name, kind): self._read(request, self._static(spec))
            for kind in ("get", "list", "find", "find_unique")
            if spec.read is not None and (request := getattr(spec.read, kind)) is not None
        }

    def rules(self, *, idempotent: bool, operation: Operation | None = None, delete: bool = False) -> Rules:
        return compile_rules(
            self.manifest.error,
            [*(operation.errors if operation else ()), *self.manifest.errors],
            fails_when=self.manifest.fails_when,
            delete=delete,
            idempotent=idempotent,
            redact=self.redact,
        )

    def unique(self, object_name: str, spec: ObjectSpec | None = None) -> str | None:
        """The property that identifies a record; the connection may have configured its own."""
        configured = self.configuration.values.get(self.manifest.unique_setting or "")
        if isinstance(configured, dict) and isinstance(configured.get(object_name), str):
            return str(configured[object_name])
        return spec.unique if spec else None

    def _plan(self, name: str, operation: OperationName, spec: ObjectSpec, one: Operation) -> Plan:
        static = self._static(spec)
        unique = self.unique(name, spec)
        idempotent = is_idempotent(operation, one)
        findable = one.find is not None and unique is not None and not idempotent
        delete = operation is OperationName.DELETE
        single = idempotent or one.idempotency_header is not None
        return Plan(
            function=Function(
                name,
                operation,
                batch_max=one.batch.maximum if one.batch else 1,
                idempotent=single,
                findable=findable,
                settle_after=one.settle_after,
                on_unknown=on_unknown_of(operation, one, self.on_unknown),
                key_interval=one.key_interval,
                aliases=frozenset(spec.aliases),
            ),
            unique=unique,
            rules=self.rules(idempotent=single, operation=one, delete=delete),
            call=None
            if one.request is None
            else compile_call(one.request, self.base, static, idempotency_header=one.idempotency_header),
            # an idempotency header protects one call, but the next try of these events may be in another batch. So a
            # batch is as idempotent as its operation
            batch=self._batch(
                one.batch, static, self.rules(idempotent=idempotent, operation=one), one.idempotency_header
            )
            if one.batch
            else None,
            find=self._find(one.find, static) if findable and one.find is not None else None,
            key=None if one.key is None else compile_key(one.key, static, unique, spec.aliases),
            respell=compile_aliases(spec.aliases),
        )

    def _batch(self, batch: Batch, static: Static, rules: Rules, idempotency_header: str | None) -> BatchPlan:
        named = fields_named(batch.input)
        return BatchPlan(
            call=compile_call(batch, self.base, static),
            item=compile_value(batch.input, static, named),
            attribute=compile_attribution(batch.attribution),
            item_status=compile_path(batch.item_status) if batch.item_status else None,
            rules=rules,
            idempotency_header=idempotency_header,
        )

    def _find(self, find: Find, static: Static) -> FindPlan:
        return FindPlan(
            call=compile_call(find, self.base, static),
            item=compile_value(find.input, static),
            maximum=find.maximum,
            records=compile_path(find.records),
            properties=compile_path(find.value),
            others=find.others,
            created=compile_path(find.created) if find.created else None,
            errors=compile_path(find.errors) if find.errors else None,
            absent=frozenset(find.absent),
        )

    def _read(self, request: ReadRequest, static: Static) -> ReadPlan:
        return ReadPlan(
            call=compile_call(request, self.base, static),
            records=compile_path(request.records),
            bookmark=compile_path(request.bookmark) if request.bookmark else None,
            absent=frozenset(request.absent),
            takes=fields_named(request.params, request.body, paths=(request.path,)),
        )

    def _static(self, spec: ObjectSpec) -> Static:
        return {"settings": self.configuration.values, "object": spec.variables}
