"""What a manifest cannot say of Xero: which organisation it is, how it is searched, and how a draft ends.

A document that is approved becomes void, a draft is deleted, and neither can be done to the other: what is meant by
``delete`` is tried as the first, and where Xero says that the status is another, as the second.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from connectors.contract import Down, Page, Rejected, Verdict
from connectors.engine.auth.endpoint import NoToken
from connectors.engine.runner.calls import Prepared
from connectors.engine.runner.expected import body_of
from connectors.engine.runner.runner import HttpConnector
from connectors.engine.runner.sender import MAX_DELIVERY, Sender
from connectors.engine.runner.written import Identified
from connectors.engine.transport.reply import Reply
from connectors.errors import CallFailed
from topics.event.event import Event, Operation

TENANT: Final = "xero-tenant-id"
PAGE: Final = 100
"""Records of a page, where the script does not say."""
OTHER_STATUS: Final = "not of valid status"
DOCUMENTS: Final = frozenset({"invoice", "bill", "credit_note"})
_FIELD: Final = re.compile(r"[A-Za-z]+(\.[A-Za-z]+)*")


class XeroSender(Sender):
    """Sends for one organisation: that of the setting, else the only one that the app is connected to."""

    tenant = ""

    async def send(self, prepared: Prepared, seconds: float | None = None, limit: int = MAX_DELIVERY) -> Reply:
        if not self.tenant:
            self.tenant = await self._only_one(seconds)
        headers = {**prepared.headers, TENANT: self.tenant}
        return await super().send(prepared._replace(headers=headers), seconds, limit)

    async def _only_one(self, seconds: float | None) -> str:
        """Raises ``TransportFailure``, ``NoToken``: without an organisation nothing can be asked."""
        asked = Prepared("GET", f"{self.base.url}/connections", dict(self.base.headers), None)
        reply = await super().send(asked, seconds)
        found = body_of(reply)
        if reply.status != 200 or not isinstance(found, list):
            said = self.redact(reply.body.decode("utf-8", errors="replace"), 200)
            raise NoToken(
                Down(f"Xero does not say which organisations the app is connected to: HTTP {reply.status} {said}")
            )
        known = {str(one.get("tenantId")): str(one.get("tenantName")) for one in found if isinstance(one, dict)}
        if len(known) == 1:
            return next(iter(known))
        if not known:
            raise NoToken(
                Down("the app is connected to no organisation: `writeback connections authorize` asks for one")
            )
        listed = ", ".join(f"{key} ({name})" for key, name in sorted(known.items()))
        raise NoToken(
            Down(f"the app is connected to several organisations; the setting tenant_id says which: {listed}")
        )


class XeroConnector(HttpConnector):
    """One organisation; see ``connectors.contract.Connector``."""

    sender_type = XeroSender

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        assert isinstance(self.sender, XeroSender)
        self.sender.tenant = str(self.values.get("tenant_id") or "")

    async def deliver(self, batch: Sequence[Event]) -> list[Verdict]:
        plan = self.plan(batch[0].object, batch[0].operation)
        if batch[0].operation is Operation.UPSERT:
            wrong = [event.fields.get("searchfield") not in {None, plan.unique} for event in batch]
            if any(wrong):
                return await self._apart(
                    batch, wrong, f"Xero finds a {batch[0].object} by {plan.unique}, and by nothing else"
                )
        verdicts = await super().deliver(batch)
        if batch[0].operation is Operation.DELETE and batch[0].object in DOCUMENTS:
            return await self._drafts(batch, verdicts)
        return verdicts

    async def read(self, object_name: str, query: Mapping[str, Any], bookmark: str | None = None) -> Page:
        """A search is a list with a filter; a list goes page by page, as only pages have the lines of a document."""
        if query.get("id") is not None:
            return await super().read(object_name, query, bookmark)
        query = dict(query)
        if query.get("searchfield") is not None:
            query["where"] = self._filter(object_name, query.pop("searchfield"), query.pop("searchterm", None))
        if object_name == "item":
            return await super().read(object_name, query)
        size = int(query.setdefault("limit", PAGE))
        page = await super().read(object_name, query, bookmark or "1")
        return Page(page.detail, str(int(bookmark or 1) + 1) if len(page.detail) == size else None)

    def rehearsed(self, asked: Prepared, events: Sequence[Event]) -> Any:  # noqa: ARG002
        """The organisation, which is asked for once."""
        is_question = str(asked.url).endswith("/connections")
        return [{"tenantId": "[tenant_id]", "tenantName": "[organisation]"}] if is_question else None

    def identified(self, name: str) -> Identified:
        """The key of each table is the id that Xero gives, under another name."""
        return replace(super().identified(name), by_vendor_id=True)

    def _filter(self, object_name: str, field: Any, term: Any) -> str:
        spec = self.manifest.objects.get(object_name)
        named = spec.aliases.get(str(field), field) if spec is not None else field
        if term is None:
            raise CallFailed(f"a search by {field} needs a searchterm")
        if not _FIELD.fullmatch(str(named)) or '"' in str(term):
            raise CallFailed(f"Xero cannot be asked for {field} {term!r}: a field has letters only, a term no quotes")
        return f'{named}==Guid("{term}")' if str(named).endswith("ID") else f'{named}=="{term}"'

    async def _drafts(self, batch: Sequence[Event], verdicts: Sequence[Verdict]) -> list[Verdict]:
        """Those that could not become void, as drafts; what the script says of the status is left alone."""
        drafts = [
            isinstance(verdict, Rejected)
            and OTHER_STATUS in verdict.reason
            and {"Status", "status"}.isdisjoint(event.fields)
            for event, verdict in zip(batch, verdicts, strict=True)
        ]
        again = [
            event.model_copy(update={"fields": {**event.fields, "Status": "DELETED"}})
            for event, draft in zip(batch, drafts, strict=True)
            if draft
        ]
        answers = iter(await super().deliver(again) if again else [])
        return [next(answers) if draft else verdict for draft, verdict in zip(drafts, verdicts, strict=True)]

    async def _apart(self, batch: Sequence[Event], wrong: Sequence[bool], reason: str) -> list[Verdict]:
        good = [event for event, bad in zip(batch, wrong, strict=True) if not bad]
        answers = iter(await super().deliver(good) if good else [])
        return [Rejected(reason) if bad else next(answers) for bad in wrong]
