"""Odoo: any model by its own name (``res.partner``), and the usual ones by a friendly one.

A change of a field that Odoo keeps itself (``payment_state``) is read back: Odoo says yes to it, and may store nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from connectors.contract import Delivered, Page, Rejected, Verdict
from connectors.engine.manifest.model import Manifest, ObjectSpec
from connectors.engine.runner import question
from connectors.engine.runner.calls import Prepared
from connectors.engine.runner.expected import Expected
from connectors.engine.runner.plan import Plan
from connectors.engine.runner.runner import HttpConnector
from connectors.errors import CallFailed
from connectors.saas.odoo.load import EXTERNAL_ID, Row, load, row_of
from connectors.saas.odoo.rehearsal import answer
from connectors.saas.odoo.sender import OdooSender
from connectors.saas.odoo.values import KEPT_BY_ODOO, Fields, checked, lines_of, same
from topics.event import exact_json
from topics.event.event import Event, Operation

MODEL: Final = re.compile(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+)+")
NO_MODULE: Final = "__import__"
"""Where Odoo keeps an external id that names no module."""
PAGE: Final = 100
"""Records of a page, where the script does not say."""
FIELDS_SECONDS: Final = 600.0
"""How long a model's fields are remembered; a field that is new in Odoo is known after that."""

Values = dict[str, Any]
DEFAULTS: Final[Mapping[str, Values]] = {"invoice": {"move_type": "out_invoice"}}
"""What a friendly object is, beyond its model: a new invoice is a customer's."""
DOMAINS: Final[Mapping[str, list[Any]]] = {"invoice": [["move_type", "=", "out_invoice"]]}


class OdooConnector(HttpConnector):
    """One Odoo database; see ``connectors.contract.Connector``."""

    sender_type = OdooSender

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.models: dict[str, tuple[float, Fields]] = {}
        """The fields of each model, and until when they are believed."""
        self.friendly = {spec.variables["model"]: name for name, spec in self.manifest.objects.items()}

    @classmethod
    def kind(cls, manifest: Manifest, object_name: str) -> ObjectSpec | None:
        """Any model is an object: what can be done with it is what can be done with the friendly ones."""
        known = manifest.objects.get(object_name)
        if known is not None or MODEL.fullmatch(object_name) is None:
            return known
        pattern = next(iter(manifest.objects.values()))
        return ObjectSpec.model_construct(
            variables={"model": object_name}, unique=None, aliases={}, operations=pattern.operations, read=pattern.read
        )

    def synced_as(self, object_name: str) -> str | None:
        """A model by its own name is read as its friendly object."""
        return super().synced_as(self.friendly.get(object_name, object_name))

    async def deliver(self, batch: Sequence[Event]) -> list[Verdict]:
        plan = self.plan(batch[0].object, batch[0].operation)
        if batch[0].operation is Operation.DELETE:
            return await super().deliver(batch)
        models = await self._models(self._model(batch[0].object), [self._named(plan, event) for event in batch])
        if not isinstance(models, dict):
            return [models] * len(batch)
        verdicts: dict[int, Verdict] = {}
        going: dict[int, Event] = {}
        for place, event in enumerate(batch):
            try:
                going[place] = self._checked(plan, event, models)
            except ValueError as error:
                verdicts[place] = Rejected(str(error))
        if going and batch[0].operation is Operation.UPSERT:
            verdicts |= await self._upsert(going, models)
        elif going:
            answers = await super().deliver(list(going.values()))
            verdicts |= dict(zip(going, await self._kept(list(going.values()), answers), strict=True))
        return [verdicts[place] for place in range(len(batch))]

    async def read(self, object_name: str, query: Mapping[str, Any], bookmark: str | None = None) -> Page:
        """Lists go by id, a page after the other: what is added meanwhile is met, and nothing is met twice."""
        query = dict(query)
        if query.get("id") is not None:
            query["id"] = _readable_id(query["id"])
        elif query.get("searchfield") == EXTERNAL_ID:
            del query["searchfield"]
            found = await self._by_external_id(object_name, query.pop("searchterm", None))
            if found is None:
                return Page([])
            query["id"] = found
        elif query.get("searchfield") is None:
            query |= self._page(object_name, query, bookmark)
        return await super().read(object_name, query, bookmark)

    def rehearsed(self, asked: Prepared, events: Sequence[Event]) -> Any:
        named = []
        for event in events:
            fields = self._named(self.plan(event.object, event.operation), event)
            named.append(event.model_copy(update={"fields": {**DEFAULTS.get(event.object, {}), **fields}}))
        return answer(asked, named)

    async def _by_external_id(self, object_name: str, name: Any) -> int | None:
        """The record of an external id, which is no field of its own. Raises ``CallFailed``."""
        module, dot, inner = str(name or "").partition(".")
        if not name:
            raise CallFailed(f"a search by {EXTERNAL_ID} needs a searchterm")
        wanted = {"model": self._model(object_name), "module": module if dot else NO_MODULE, "name": inner or module}
        domain = [[field, "=", value] for field, value in wanted.items()]
        page = await self.read("ir.model.data", {"domain": domain, "fields": ["res_id"], "limit": 1})
        return int(page.detail[0]["res_id"]) if page.detail else None

    def _page(self, object_name: str, query: Mapping[str, Any], bookmark: str | None) -> Values:
        domain = query.get("domain") or []
        if not isinstance(domain, list):
            raise CallFailed(f"domain is {domain!r}, not a list such as [['name', 'ilike', 'acme']]")
        after = [["id", ">", int(bookmark or 0)]]
        return {"domain": [*DOMAINS.get(object_name, []), *after, *domain], "limit": query.get("limit") or PAGE}

    # -- what is known of a model ------------------------------------------------------------------------------------

    def _model(self, object_name: str) -> str:
        spec = self.manifest.objects.get(object_name)
        return object_name if spec is None else spec.variables["model"]

    async def _fields(self, model: str) -> Fields | Verdict:
        until, fields = self.models.get(model, (0.0, {}))
        if self.sender.now() < until:
            return fields
        answer: Fields | Verdict = await self.ask(model, "fields_get", {"attributes": ["type", "relation", "readonly"]})
        if isinstance(answer, Mapping):
            self.models[model] = (self.sender.now() + FIELDS_SECONDS, answer)
        return answer

    async def _models(self, model: str, given: Sequence[Values]) -> dict[str, Fields] | Verdict:
        """The fields of a model, and of the lines in its records."""
        models: dict[str, Fields] = {}
        wanted = [model]
        while wanted:
            name = wanted.pop()
            fields = await self._fields(name)
            if not isinstance(fields, Mapping):
                return fields
            models[name] = fields
            if name == model:
                wanted += sorted({line for values in given for line in lines_of(values, fields)} - {model})
        return models

    def _named(self, plan: Plan, event: Event) -> Values:
        """The event's fields under Odoo's names."""
        return dict(event.fields if plan.respell is None else plan.respell(event.fields))

    def _checked(self, plan: Plan, event: Event, models: dict[str, Fields]) -> Event:
        """The event with its fields under Odoo's names and in Odoo's shapes. Raises ``ValueError``."""
        values = self._named(plan, event)
        kept = {name: values.pop(name) for name in ("id", EXTERNAL_ID) if name in values}
        new = event.operation not in {Operation.UPDATE, Operation.UPSERT}
        if new and (given := next(iter(kept), None)) is not None:
            raise ValueError(f"a new record has no {given}: change it with update, or make or change it with upsert")
        if "id" in kept and event.operation is Operation.UPSERT:
            raise ValueError(f"an upsert is by {EXTERNAL_ID}; a record whose id is known is changed with update")
        if new or event.operation is Operation.UPSERT:
            values = {**DEFAULTS.get(event.object, {}), **values}
        if "id" in kept:
            kept["id"] = _id(kept["id"])
        values = checked(self._model(event.object), values, models, new=event.operation is not Operation.UPDATE)
        return event.model_copy(update={"fields": {**kept, **values}})

    # -- calls -------------------------------------------------------------------------------------------------------

    async def ask(self, model: str, method: str, arguments: Mapping[str, Any]) -> Any:
        """What a call that may be repeated gives, or the verdict that stands in its way."""
        base = self.sender.base
        url = f"{base.url}/json/2/{model}/{method}"
        prepared = Prepared("POST", url, dict(base.headers), exact_json.dumps(dict(arguments)))
        return await question.ask(self.sender, prepared, self.asking, Expected())

    async def _upsert(self, events: Mapping[int, Event], models: dict[str, Fields]) -> dict[int, Verdict]:
        model = self._model(next(iter(events.values())).object)
        verdicts: dict[int, Verdict] = {}
        rows: list[Row] = []
        for place, event in events.items():
            try:
                rows.append(row_of(place, event.fields, models[model]))
            except ValueError as error:
                verdicts[place] = Rejected(str(error))
        return verdicts | await load(lambda method, arguments: self.ask(model, method, arguments), rows)

    async def _kept(self, events: Sequence[Event], verdicts: Sequence[Verdict]) -> list[Verdict]:
        """A yes to a change of what Odoo keeps itself is believed when it is read back."""
        return [
            await self._read_back(event, verdict, names)
            if isinstance(verdict, Delivered)
            and event.operation is Operation.UPDATE
            and (names := sorted(KEPT_BY_ODOO.intersection(event.fields) - {"id"}))
            else verdict
            for event, verdict in zip(events, verdicts, strict=True)
        ]

    async def _read_back(self, event: Event, verdict: Delivered, names: list[str]) -> Verdict:
        record = event.fields["id"]
        answer = await self.ask(self._model(event.object), "read", {"ids": [record], "fields": names})
        if not isinstance(answer, list) or not answer or not isinstance(answer[0], Mapping):
            return (
                verdict if isinstance(answer, list) else replace(verdict, detail={"note": f"not read back: {answer}"})
            )
        for name in names:
            stored = answer[0].get(name)
            if not same(event.fields[name], stored):
                return Rejected(f"Odoo said yes and kept {name} at {stored!r}: it computes this field itself")
        note = f"{', '.join(names)}: Odoo computes this itself, and its next computation replaces what was written"
        return replace(verdict, detail={"id": record, "note": note}, id=str(record))


def _readable_id(value: Any) -> int:
    try:
        return _id(value)
    except ValueError as error:
        raise CallFailed(str(error)) from error


def _id(value: Any) -> int:
    """Records have numbers. Raises ``ValueError``."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().isdecimal():
        return int(value)
    raise ValueError(f"id is the number of a record, not {value!r}")
