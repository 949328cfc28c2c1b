"""Asks the vendor whether an operation has happened: in batches, by the unique property of the records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from connectors.contract import Absent, CannotTell, Delivered, Finding, Found, Rejected
from connectors.engine.auth.endpoint import NoToken
from connectors.engine.runner.plan import FindPlan, Plan
from connectors.engine.runner.sender import Sender
from connectors.engine.runner.source import parse_time
from connectors.engine.runner.verdicts import Rules, refusal
from connectors.engine.template.template import Missing, Scope, unique_of
from connectors.engine.template.text import fold, spelled
from connectors.engine.transport.failures import TransportFailure
from connectors.engine.transport.reply import MAX_READ
from connectors.errors import Unreachable
from topics.event.event import Event

SKEW_SECONDS: Final = 300.0
"""Seconds by which the vendor's clock and a producer's may differ."""

NOT_ASKABLE: Final = CannotTell("this connector has no way to ask whether the call has happened")


async def find(sender: Sender, plan: Plan, rules: Rules, events: Sequence[Event]) -> list[Finding]:
    """One finding for each event. Raises ``Unreachable``."""
    if plan.find is None:
        return [NOT_ASKABLE] * len(events)
    findings: list[Finding] = []
    for start in range(0, len(events), plan.find.maximum):
        findings += await _find(sender, plan, plan.find, rules, events[start : start + plan.find.maximum])
    return findings


async def _find(sender: Sender, plan: Plan, how: FindPlan, rules: Rules, events: Sequence[Event]) -> list[Finding]:
    sought = [_value(plan, event) for event in events]
    values = list({fold(value): value for _, value in sought if value is not None}.values())
    if not values:
        return [CannotTell(f"the event has no {name or 'unique property'}") for name, _ in sought]
    answer = await _ask(sender, plan, how, rules, values)
    if isinstance(answer, CannotTell):
        return [answer] * len(events)
    return [
        CannotTell(f"the event has no {name}") if value is None else _finding(how, answer, name, value, event)
        for (name, value), event in zip(sought, events, strict=True)
    ]


def _value(plan: Plan, event: Event) -> tuple[str | None, Any]:
    name, value = unique_of(plan.scope(event))
    if name != plan.unique or value is None or isinstance(value, dict | list):
        return name, None  # a request asks by one property, the configured one
    return name, value


async def _ask(sender: Sender, plan: Plan, how: FindPlan, rules: Rules, values: list[Any]) -> Any:
    """The body of a complete answer without errors, or the reason why there is none."""
    try:
        items = [how.item(Scope({"value": value})) for value in values]
        scope = Scope({}, unique=plan.unique, items=items)
        reply = await sender.send(how.call.prepare(scope), limit=MAX_READ)
    except TransportFailure as failure:
        raise Unreachable(sender.redact(failure.reason)) from failure
    except NoToken as none:
        raise Unreachable(none.verdict.reason) from none
    except Missing as missing:
        return CannotTell(f"the question needs {missing}")
    body = how.call.expected.body_of(reply)
    match refusal(reply, body, rules, how.call.expected, sender.now()):
        case None:
            pass
        case Rejected(reason=reason):
            return CannotTell(reason)
        case Delivered():
            return CannotTell(f"HTTP {reply.status} is no answer to a question")
        case verdict:
            raise Unreachable(verdict.reason)
    return _clean(how, rules, body)


def _clean(how: FindPlan, rules: Rules, body: Any) -> Any:
    """An answer with errors does not prove that a record is missing, unless the errors say that it does not exist."""
    for error in (how.errors(body) if how.errors else None) or ():
        codes = {look(error) for look in rules.codes}
        if codes.isdisjoint(how.absent):
            return CannotTell(f"the vendor could answer in part only: {str(error)[:200]}")
    return body


def _finding(how: FindPlan, body: Any, name: str | None, value: Any, event: Event) -> Finding:
    for record in how.records(body) or ():
        properties = how.properties(record)
        # the vendor may spell the property in another case than the connection's setting
        properties = spelled(properties, name) if isinstance(properties, dict) else {}
        if name is not None and fold(value) in _names(how, properties, name):
            if how.created is not None and _older(how.created(record), event):
                return Absent()  # somebody else's record: a retry will be refused by the vendor
            record_id = how.call.id_at(record) if how.call.id_at else None
            return Found(record, None if record_id is None else str(record_id))
    return Absent()


def _names(how: FindPlan, properties: Mapping[str, Any], name: str) -> set[Any]:
    """The values by which this record is found: of its unique property, and any further ones."""
    further = str(properties.get(how.others) or "").split(";") if how.others else []
    return {fold(value) for value in (properties.get(name), *further) if value not in (None, "")}


def _older(created: Any, event: Event) -> bool:
    """Whether the record is older than the event, so that the event cannot have created it."""
    try:
        made = parse_time(created).timestamp()
    except (ValueError, OverflowError, OSError):
        return False
    return made < event.time.timestamp() - SKEW_SECONDS
