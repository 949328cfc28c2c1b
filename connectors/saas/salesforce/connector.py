"""Salesforce: any sObject by its API name (``Invoice__c``), and the usual ones by a friendly one (``contact``)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from connectors.contract import Page, Rejected, Verdict
from connectors.engine.manifest.model import Manifest, ObjectSpec
from connectors.engine.manifest.read import Sync
from connectors.engine.runner.delivery import deliver_batch
from connectors.engine.runner.pace import Pace
from connectors.engine.runner.plan import Plan, ReadPlan
from connectors.engine.runner.read import choose, kind_of, read
from connectors.engine.runner.runner import HttpConnector
from connectors.engine.runner.source import Asking, Source
from connectors.engine.template.text import as_text, spelled
from connectors.errors import CallFailed, UnknownFunction
from connectors.saas.salesforce import soql
from connectors.saas.salesforce.bulk import Bulk
from connectors.saas.salesforce.questions import SoqlFind, question
from connectors.saas.salesforce.records import LONG_ID, SHORT_ID, external_field, record_of, whole_name
from connectors.saas.salesforce.rows import row_of, sheets_of
from connectors.saas.salesforce.source import SalesforceSource
from topics.event.event import Event, Operation

COLLECTION: Final = 200
"""Records of a call of sObject Collections."""
BULK: Final = 5_000
"""Records that a job takes, where a connection lets jobs take them."""


OF_TEXT: Final = "must be of type string"
"""What Salesforce says of a number that is compared with a text."""


class SalesforceConnector(HttpConnector):
    """One org; see ``connectors.contract.Connector``."""

    sleep = staticmethod(asyncio.sleep)
    """Between two looks at a job."""

    any_case = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._by_external: dict[tuple[str, str], Plan] = {}

    @classmethod
    def kind(cls, manifest: Manifest, object_name: str) -> ObjectSpec | None:
        """Any sObject goes by its API name, which has a capital or ``__c``: a misspelt friendly name is none."""
        known = manifest.objects.get(object_name)
        named = soql.NAME.fullmatch(object_name) is not None and (object_name[0].isupper() or "__" in object_name)
        return known if known is not None or not named else _spec(manifest, object_name)

    def named(self, object_name: str, operation: Operation, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        spec = self.manifest.objects.get(object_name)
        return super().named(object_name, operation, whole_name(fields, spec.aliases if spec else {}))

    def record_key(self, object_name: str, operation: Operation, fields: Mapping[str, Any]) -> str | None:
        """An id of 18 characters is one of 15 with a checksum, and the case of a field's name does not matter."""
        by_id = operation in {Operation.UPDATE, Operation.DELETE}
        key = super().record_key(object_name, operation, spelled(fields, "id") if by_id else fields)
        return key[:SHORT_ID] if key is not None and by_id and len(key) == LONG_ID else key

    async def deliver(self, batch: Sequence[Event]) -> list[Verdict]:
        """A call has one external id field in its address: events that name different ones travel apart."""
        plan = self.plan(batch[0].object, batch[0].operation)
        verdicts: dict[int, Verdict] = {}
        going: dict[str, dict[int, Event]] = {}
        for place, event in enumerate(batch):
            try:
                external = external_field(event.fields, plan.unique) if event.operation is Operation.UPSERT else ""
                going.setdefault(external, {})[place] = self._recorded(plan, event)
            except ValueError as error:
                verdicts[place] = Rejected(str(error))
        for external, events in going.items():
            one = self._upserting(batch[0].object, external) if external else plan
            jobs = await self._in_jobs(one, events)
            rest = {place: event for place, event in events.items() if place not in jobs}
            verdicts |= jobs | await self._in_collections(one, rest)
        return [verdicts[place] for place in range(len(batch))]

    async def _in_collections(self, plan: Plan, events: Mapping[int, Event]) -> dict[int, Verdict]:
        """Two hundred records a call."""
        assert plan.batch is not None  # every operation has one
        verdicts: dict[int, Verdict] = {}
        places = list(events)
        for start in range(0, len(places), COLLECTION):
            part = places[start : start + COLLECTION]
            answers = await deliver_batch(self.sender, plan, plan.batch, [events[place] for place in part])
            verdicts.update(zip(part, answers, strict=True))
        return verdicts

    async def _in_jobs(self, plan: Plan, events: Mapping[int, Event]) -> dict[int, Verdict]:
        """Where there are enough of them; what a CSV cannot say is left to Collections."""
        rows = {place: row for place, event in events.items() if (row := row_of(event.fields)) is not None}
        if not 0 < self.values["bulk_from"] <= len(rows):
            return {}
        assert plan.batch is not None  # every operation has one
        url = f"{self.sender.base.url}/services/data/{self.values['api_version']}/jobs/ingest"
        bulk = Bulk(self.sender, url, self.asking, plan.batch.rules, self.sleep)
        verdicts: dict[int, Verdict] = {}
        for sheet in sheets_of(rows):
            sobject = self._sobject(plan.function.object)
            verdicts |= await bulk.carry(sheet, sobject, plan.function.operation, plan.unique)
        return verdicts

    async def read(self, object_name: str, query: Mapping[str, Any], bookmark: str | None = None) -> Page:
        """Lists go by id, a page after the other: what is added meanwhile is met, and nothing is met twice."""
        self._know(object_name)
        plan = choose(self._reads, object_name, query, None)
        try:
            return await self._page(plan, object_name, query, bookmark)
        except CallFailed as error:
            # an external id that is a text: a number is written into it as its digits, and has to be sought as them
            term = query.get("searchterm")
            if OF_TEXT not in str(error) or isinstance(term, str):
                raise
            return await self._page(plan, object_name, {**query, "searchterm": as_text(term)}, bookmark)

    async def _page(self, plan: ReadPlan, object_name: str, query: Mapping[str, Any], bookmark: str | None) -> Page:
        try:
            asked, size = question(self._sobject(object_name), query, bookmark)
        except ValueError as error:
            raise CallFailed(str(error)) from error
        page = await read(self.sender, plan, self.asking, {"soql": asked}, bookmark=None, unique=None)
        records = [{name: value for name, value in one.items() if name != "attributes"} for one in page.detail]
        more = len(records) == size and kind_of(query, None) != "get"
        return Page(records, str(records[-1]["Id"]) if more else None)

    def syncs(self) -> dict[str, Sync]:
        """The friendly objects, and those of the setting ``refresh_objects`` under their own names in lower case."""
        syncs = super().syncs()
        pattern = next(iter(syncs.values()))
        return syncs | {name.lower(): pattern for name in self._further()}

    def synced_as(self, object_name: str) -> str | None:
        """An sObject by its API name is read as its friendly object, where it has one."""
        sobject = self._sobject(object_name).lower()
        friendly = {spec.variables["sobject"].lower(): name for name, spec in self.manifest.objects.items()}
        return super().synced_as(friendly.get(sobject, sobject))

    def source(self, object_name: str, pace: Pace | None = None) -> Source:
        specs = self.syncs()
        if object_name not in specs:
            known = ", ".join(specs)
            raise UnknownFunction(
                f"cannot refresh {object_name}: this connection reads {known}; the setting refresh_objects adds others"
            )
        sobject = next((one for one in self._further() if one.lower() == object_name), None)
        sobject = sobject or self._sobject(object_name)
        static = {"settings": self.values, "object": {"sobject": sobject}}
        asking = Asking(self.sender, self.asking, pace or Pace(self.limits))
        wanted = self.values["refresh_fields"]
        fields = wanted.get(object_name) if isinstance(wanted, Mapping) else None
        return SalesforceSource(object_name, specs[object_name], static, asking, sobject=sobject, fields=fields)

    # -- what is known of an object ----------------------------------------------------------------------------------

    def _sobject(self, object_name: str) -> str:
        return _sobject(self.manifest, object_name)

    def _further(self) -> list[str]:
        names = self.values["refresh_objects"]
        return [one for one in names if isinstance(one, str)] if isinstance(names, list) else []

    def _upserting(self, object_name: str, external: str) -> Plan:
        key = (object_name, external)
        if key not in self._by_external:
            plans = self.compiler.plans_of(object_name, _spec(self.manifest, object_name, external))
            self._by_external[key] = replace(plans[object_name, Operation.UPSERT], unique=external)
        return self._by_external[key]

    def _adapted(self, plan: Plan) -> Plan:
        """Asking is in SOQL, and where jobs may take records a turn has more of them."""
        if self.values["bulk_from"] > 0:
            plan = replace(plan, function=replace(plan.function, batch_max=BULK))
        if plan.find is None or plan.unique is None:
            return plan
        call = SoqlFind(plan.find.call, self._sobject(plan.function.object), plan.unique)
        return replace(plan, find=replace(plan.find, call=call))

    def _recorded(self, plan: Plan, event: Event) -> Event:
        """The event with its fields as Salesforce takes them. Raises ``ValueError``."""
        values = self.named(event.object, event.operation, event.fields)
        record = record_of(event, self._sobject(event.object), values, plan.unique)
        return event.model_copy(update={"fields": record})


def _spec(manifest: Manifest, object_name: str, external: str = "") -> ObjectSpec:
    """``external``: the field that an upsert names in its address."""
    known = manifest.objects.get(object_name)
    pattern = known or next(iter(manifest.objects.values()))
    variables = {"sobject": _sobject(manifest, object_name), "external": external}
    return pattern.model_copy(update={"variables": variables, "aliases": known.aliases if known else {}})


def _sobject(manifest: Manifest, object_name: str) -> str:
    spec = manifest.objects.get(object_name)
    return object_name if spec is None else spec.variables["sobject"]
