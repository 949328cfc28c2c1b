"""``get``, ``list`` and ``findone``: answers a script's query with a page of records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connectors.contract import Page
from connectors.engine.runner.plan import ReadPlan
from connectors.engine.runner.sender import Sender
from connectors.engine.runner.verdicts import Rules, refusal
from connectors.engine.template.template import Missing, Scope
from connectors.errors import CallFailed, UnknownFunction

Reads = Mapping[tuple[str, str], ReadPlan]


def kind_of(query: Mapping[str, Any], unique: str | None) -> str:
    """The name of the manifest's read that answers this query."""
    if query.get("searchfield") is not None:
        return "find_unique" if query["searchfield"] == unique else "find"
    return "get" if query.get("id") is not None else "list"


def choose(reads: Reads, object_name: str, query: Mapping[str, Any], unique: str | None) -> ReadPlan:
    """The read for a query. Raises ``UnknownFunction``, whose message lists what can be read."""
    kind = kind_of(query, unique)
    plan = reads.get((object_name, kind)) or (reads.get((object_name, "find")) if kind == "find_unique" else None)
    if plan is None:
        known = ", ".join(f"{name}.{one}" for name, one in reads if one != "find_unique") or "nothing"
        raise UnknownFunction(f"cannot read {object_name}.{kind.partition('_')[0]}: this connector reads {known}")
    return plan


async def read(
    sender: Sender, plan: ReadPlan, rules: Rules, query: Mapping[str, Any], *, bookmark: str | None, unique: str | None
) -> Page:
    """Read a page. Raises ``CallFailed``, also for a name that the request has no use for: no filter is ignored."""
    unknown = sorted(set(query) - plan.takes)
    if unknown:
        raise CallFailed(
            f"this read does not take {', '.join(unknown)}; it takes {', '.join(sorted(plan.takes)) or 'nothing'}"
        )
    if "searchfield" in query and query.get("searchterm") is None:
        raise CallFailed(f"a search by {query['searchfield']} needs a searchterm")
    try:
        prepared = plan.call.prepare(Scope(query, unique=unique, bookmark=bookmark))
    except (Missing, ValueError) as error:
        raise CallFailed(f"the query cannot be put into a request: {error}") from error
    reply = await sender.ask(prepared)
    expected = plan.call.expected
    body = expected.body_of(reply)
    if reply.status in plan.absent and expected.foreign(reply) is None:
        return Page([])
    if refusal(reply, body, rules, expected, sender.now()) is not None:
        raise sender.call_failed(reply, body, rules, expected)
    return _page(plan, body)


def _page(plan: ReadPlan, body: Any) -> Page:
    found = plan.records(body)
    records = found if isinstance(found, list) else [found]
    bookmark = plan.bookmark(body) if plan.bookmark is not None else None
    return Page(
        [record if isinstance(record, dict) else {"value": record} for record in records if record is not None],
        str(bookmark) if bookmark not in (None, "") else None,
    )
