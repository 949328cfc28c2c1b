"""What a manifest cannot say of HubSpot: custom objects by their own names, and associations by kind and label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import Any, Final

from connectors.contract import Page, Rejected, Retry, Verdict
from connectors.engine.manifest.model import Manifest, ObjectSpec
from connectors.engine.manifest.read import Related, Sync
from connectors.engine.runner.calls import Prepared
from connectors.engine.runner.delivery import UNSAID, deliver_batch
from connectors.engine.runner.pace import Pace
from connectors.engine.runner.plan import Plan
from connectors.engine.runner.read import choose, read
from connectors.engine.runner.runner import HttpConnector
from connectors.engine.runner.source import Asking, Source
from connectors.engine.template.template import Scope, unique_of
from connectors.errors import BadConnection, CallFailed
from connectors.saas.hubspot.kinds import CUSTOM, QUALIFIED, Schemas, lacks, not_unique, type_of
from connectors.saas.hubspot.links import Links, targets
from connectors.saas.hubspot.rehearsal import answer
from connectors.saas.hubspot.source import CustomSource
from topics.event.event import Event, Operation

ASSOCIATION: Final = "association"
NOTE: Final = "note"
NEW: Final = frozenset({Operation.ADD, Operation.MESSAGE})
EMAIL: Final = "email"

Fields = Mapping[str, Any]


class HubSpotConnector(HttpConnector):
    """One account; see ``connectors.contract.Connector``."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.links = Links(self.sender, self.asking, str(self.values["associations_prefix"]))
        self.schemas = Schemas(self.sender, self.asking, str(self.values["schemas_prefix"]))
        self._pairs: dict[tuple[Operation, str, str, bool], Plan] = {}
        self._further = _further(self.values["refresh_objects"])
        self._syncs = self._syncs | self._further_syncs()

    @classmethod
    def kind(cls, manifest: Manifest, object_name: str) -> ObjectSpec | None:
        """A custom object goes by HubSpot's own names for it: a misspelt friendly name is none."""
        known = manifest.objects.get(object_name)
        if known is not None or CUSTOM.fullmatch(object_name) is None:
            return known
        variables = {"type": object_name, "changed": "hs_lastmodifieddate"}
        return manifest.objects["deal"].model_copy(update={"variables": variables, "aliases": {}, "example": {}})

    async def deliver(self, batch: Sequence[Event]) -> list[Verdict]:
        if batch[0].object == ASSOCIATION:
            return await self._associate(batch)
        plan = self.plan(batch[0].object, batch[0].operation)
        verdicts: dict[int, Verdict] = {}
        going: dict[int, Event] = {}
        for place, event in enumerate(batch):
            made = await self._made(plan, event)
            if isinstance(made, Event):
                going[place] = made
            else:
                verdicts[place] = made
        answers = await super().deliver(list(going.values())) if going else []
        verdicts |= dict(zip(going, answers, strict=True))
        return [verdicts[place] for place in range(len(batch))]

    async def read(self, object_name: str, query: Mapping[str, Any], bookmark: str | None = None) -> Page:
        if object_name != ASSOCIATION:
            return await super().read(object_name, query, bookmark)
        try:
            spec = self._between(*self._pair(query))
        except ValueError as error:
            raise CallFailed(str(error)) from error
        rest = {name: value for name, value in query.items() if name not in {"from_type", "to_type"}}
        plan = choose(self.compiler.reads_of(ASSOCIATION, spec), ASSOCIATION, rest, None)
        return await read(self.sender, plan, self.asking, rest, bookmark=bookmark, unique=None)

    def rehearsed(self, asked: Prepared, events: Sequence[Event]) -> Any:
        return answer(str(asked.url).removeprefix(self.sender.base.url), events) if asked.method == "GET" else None

    def source(self, object_name: str, pace: Pace | None = None) -> Source:
        if object_name not in self._further:
            return super().source(object_name, pace)
        variables = {"type": type_of(self.manifest, object_name), "changed": "hs_lastmodifieddate"}
        asking = Asking(self.sender, self.asking, pace or Pace(self.limits))
        static = {"settings": self.values, "object": variables}
        if object_name == NOTE:
            return Source(object_name, self._syncs[object_name], static, asking)
        return CustomSource(object_name, self._syncs[object_name], static, asking, related=self._related())

    # -- a record -----------------------------------------------------------------------------------------------------

    async def _made(self, plan: Plan, event: Event) -> Event | Verdict:
        """The event as HubSpot takes it; or the verdict, when it takes none such."""
        given = fields = event.fields if plan.respell is None else plan.respell(event.fields)
        if event.object not in self.manifest.objects:
            refused = await self._against_schema(plan, event, fields)
            if refused is not None:
                return refused
        if event.operation is Operation.UPSERT:
            fields = _found_by(fields, plan.unique)
        if event.object == NOTE and event.operation in NEW and fields.get("hs_timestamp") in (None, ""):
            moment = event.time.astimezone(UTC).isoformat(timespec="milliseconds")
            fields = {**fields, "hs_timestamp": moment.replace("+00:00", "Z")}
        if fields.get("associations"):
            linked = await self._linked(event, fields)
            if not isinstance(linked, Mapping):
                return linked
            fields = linked
        return event if fields is given else event.model_copy(update={"fields": dict(fields)})

    async def _against_schema(self, plan: Plan, event: Event, fields: Fields) -> Verdict | None:
        schema = await self.schemas.of(event.object)
        if not isinstance(schema, Mapping):
            return schema
        wrong = None
        if event.operation in NEW:
            wrong = lacks(schema, event.object, fields)
        elif event.operation is Operation.UPSERT and (named := unique_of(Scope(fields, unique=plan.unique))[0]):
            wrong = not_unique(schema, event.object, named)
        return None if wrong is None else Rejected(wrong)

    async def _linked(self, event: Event, fields: Fields) -> Fields | Verdict:
        """``associations`` in HubSpot's own shape: a list of ids and types."""
        if event.operation not in NEW:
            return Rejected(
                f"HubSpot takes associations with a new record only: `add association` makes them for {event.object}"
            )
        associations = fields["associations"]
        if isinstance(associations, list):
            return fields
        made = []
        try:
            here = type_of(self.manifest, event.object)
            for kind, record, label in targets(associations):
                spec = await self.links.spec(here, type_of(self.manifest, kind), label)
                if not isinstance(spec, dict):
                    return spec
                made.append({"to": {"id": record}, "types": [spec]})
        except ValueError as error:
            return Rejected(str(error))
        return {**fields, "associations": made}

    # -- associations -------------------------------------------------------------------------------------------------

    async def _associate(self, batch: Sequence[Event]) -> list[Verdict]:
        """A call has both kinds in its address: events that name different ones travel apart."""
        verdicts: dict[int, Verdict] = {}
        going: dict[tuple[str, str, bool], dict[int, Event]] = {}
        operation = batch[0].operation
        for place, event in enumerate(batch):
            try:
                here, there = self._pair(event.fields)
            except ValueError as error:
                verdicts[place] = Rejected(str(error))
                continue
            made = await self._typed(event, here, there)
            if isinstance(made, Event):
                of_label = operation is Operation.DELETE and "types" in made.fields
                going.setdefault((here, there, of_label), {})[place] = made
            else:
                verdicts[place] = made
        for (here, there, of_label), events in going.items():
            plan = self._paired(operation, here, there, of_label=of_label)
            answers = await self._one_by_one_if_unsaid(plan, list(events.values()))
            verdicts |= dict(zip(events, answers, strict=True))
        return [verdicts[place] for place in range(len(batch))]

    async def _typed(self, event: Event, here: str, there: str) -> Event | Verdict:
        """The event with the type of its association; all types, for one that takes the whole association away."""
        label = event.fields.get("label")
        if event.fields.get("types") or (event.operation is Operation.DELETE and label in (None, "")):
            return event
        spec = await self.links.spec(here, there, label)
        if not isinstance(spec, dict):
            return spec
        return event.model_copy(update={"fields": {**event.fields, "types": [spec]}})

    async def _one_by_one_if_unsaid(self, plan: Plan, events: list[Event]) -> list[Verdict]:
        """An error about an association need not say whose it is. To make one twice is to make it once."""
        assert plan.batch is not None  # every operation has one
        verdicts = await deliver_batch(self.sender, plan, plan.batch, events)
        if len(events) > 1:
            for place, verdict in enumerate(verdicts):
                if isinstance(verdict, Retry) and verdict.reason == UNSAID:
                    verdicts[place : place + 1] = await deliver_batch(self.sender, plan, plan.batch, [events[place]])
        return verdicts

    def _pair(self, fields: Fields) -> tuple[str, str]:
        """Both kinds, as the paths name them. Raises ``ValueError``."""
        missing = [name for name in ("from_type", "to_type") if fields.get(name) in (None, "")]
        if missing:
            raise ValueError(f"an association needs {' and '.join(missing)}: contact, company, p123_car, ...")
        return type_of(self.manifest, fields["from_type"]), type_of(self.manifest, fields["to_type"])

    def _between(self, here: str, there: str, *, of_label: bool = False) -> ObjectSpec:
        spec = self.manifest.objects[ASSOCIATION]
        archive = "labels/archive" if of_label else "archive"
        return spec.model_copy(update={"variables": {"from": here, "to": there, "archive": archive}})

    def _paired(self, operation: Operation, here: str, there: str, *, of_label: bool) -> Plan:
        key = (operation, here, there, of_label)
        if key not in self._pairs:
            spec = self._between(here, there, of_label=of_label)
            if of_label:  # what takes a label away looks like what gives it
                add, delete = spec.operations[Operation.ADD].batch, spec.operations[Operation.DELETE]
                assert add is not None  # every operation has one
                assert delete.batch is not None
                batch = delete.batch.model_copy(update={"input": add.input})
                unlabel = delete.model_copy(update={"batch": batch})
                spec = spec.model_copy(update={"operations": {Operation.DELETE: unlabel}})
            self._pairs[key] = self.compiler.plans_of(ASSOCIATION, spec)[ASSOCIATION, operation]
        return self._pairs[key]

    # -- what is known of a kind --------------------------------------------------------------------------------------

    def _further_syncs(self) -> dict[str, Sync]:
        """Notes with whom they belong to; to whom a custom object may belong its schema says, when it is read."""
        contact, related = self._syncs["contact"], self._related()
        return {name: contact.model_copy(update={"related": related if name == NOTE else {}}) for name in self._further}

    def _related(self) -> dict[str, Related]:
        """How each of HubSpot's own kinds is asked for that belongs to a record."""
        return {**self._syncs["contact"].related, "contacts": self._syncs["company"].related["contacts"]}


def _further(names: Any) -> list[str]:
    """The setting ``refresh_objects``. Raises ``BadConnection``."""
    if not isinstance(names, list):
        raise BadConnection('refresh_objects is not a list such as ["note", "p123_car"]')
    for one in names:
        if one != NOTE and (not isinstance(one, str) or QUALIFIED.fullmatch(one) is None):
            raise BadConnection(
                f"refresh_objects: {one!r} is neither note nor a custom object's fully qualified name, as in p123_car"
            )
    return names


def _found_by(fields: Fields, unique: str | None) -> Fields:
    """The fields of an upsert: what finds the record is a property of it.

    An email is not: of a contact that has several it would be made the first one.
    """
    name, value = unique_of(Scope(fields, unique=unique))
    if name is None or value is None:
        return fields
    if name == EMAIL:
        return {**{key: each for key, each in fields.items() if key != EMAIL}, "searchfield": name, "searchterm": value}
    return fields if fields.get(name) == value else {**fields, name: value}
