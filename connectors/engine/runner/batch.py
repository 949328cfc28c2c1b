"""Assigns the results in the answer to a batch to its events. Pure.

A result is never assigned by its position, unless the vendor promises that order. Nothing is guessed: ``lost`` gives
the verdict for an event that the answer does not account for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from connectors.contract import Delivered, Verdict
from connectors.engine.manifest.requests import AllOrNothing, Attribution, ByMatch, ByOrder
from connectors.engine.template.paths import Look, compile_path


@dataclass(frozen=True, slots=True)
class Judges:
    """How a piece of the answer becomes a verdict."""

    done: Callable[[Any], Delivered]
    refused: Callable[[Any], Verdict]
    is_record: Callable[[Any], bool]
    """Whether this piece of the results is a record at all."""
    lost: Callable[[], Verdict]
    """The verdict for an event without a result; called only when needed, because collecting the evidence is slow."""


Attribute = Callable[[Sequence[Any], Any, Judges], list[Verdict]]
"""A function from the items sent, the body and the judges to one verdict for each item."""


def compile_attribution(spec: Attribution) -> Attribute:
    match spec:
        case ByMatch():
            return _by_match(spec)
        case ByOrder():
            return _by_order(spec)
        case AllOrNothing():
            return lambda items, _body, judges: [judges.done(None) for _ in items]


def _by_order(spec: ByOrder) -> Attribute:
    results_at, failed_at = compile_path(spec.results), compile_path(spec.failed)

    def attribute(items: Sequence[Any], body: Any, judges: Judges) -> list[Verdict]:
        results = results_at(body)
        if not isinstance(results, list) or len(results) != len(items):
            lost = judges.lost()
            return [lost for _ in items]
        return [judges.refused(one) if failed_at(one) else _record(one, judges) for one in results]

    return attribute


def _record(result: Any, judges: Judges) -> Verdict:
    return judges.done(result) if judges.is_record(result) else judges.lost()


@dataclass(frozen=True, slots=True)
class _Matcher:
    input: Look
    result: Look | None
    error: Look | None


def _by_match(spec: ByMatch) -> Attribute:
    matchers = [
        _Matcher(
            compile_path(match.input),
            compile_path(match.result) if match.result else None,
            compile_path(match.error) if match.error else None,
        )
        for match in spec.match
    ]
    results_at = compile_path(spec.results)
    errors_at = compile_path(spec.errors) if spec.errors else None

    def attribute(items: Sequence[Any], body: Any, judges: Judges) -> list[Verdict]:
        results = [result for result in _list(results_at(body)) if judges.is_record(result)]
        errors = _list(errors_at(body)) if errors_at else []
        if len(items) == 1 and errors and not results:
            return [judges.refused(errors[0])]  # there is only one item: the error is about it
        indexes = [_index(matcher, items) for matcher in matchers]
        verdicts: list[Verdict | None] = [None] * len(items)
        nameless = 0
        for result in results:
            owners = _owners([matcher.result for matcher in matchers], indexes, result)
            nameless += not owners
            for owner in owners:
                verdicts[owner] = judges.done(result)
        all_named = True
        for error in errors:
            owners = _owners([matcher.error for matcher in matchers], indexes, error)
            all_named = all_named and bool(owners)
            for owner in owners:
                verdicts[owner] = judges.refused(error)
        # events that are not named are delivered only if the answer leaves no other possibility
        rest = Delivered() if all_named and nameless == verdicts.count(None) else judges.lost()
        return [rest if verdict is None else verdict for verdict in verdicts]

    return attribute


def _index(matcher: _Matcher, items: Sequence[Any]) -> dict[str, list[int]]:
    index: dict[str, list[int]] = {}
    for number, item in enumerate(items):
        token = matcher.input(item)
        if isinstance(token, str | int):
            index.setdefault(str(token), []).append(number)
    return index


def _owners(looks: list[Look | None], indexes: list[dict[str, list[int]]], piece: Any) -> list[int]:
    for look, index in zip(looks, indexes, strict=True):
        tokens = look(piece) if look is not None else None
        owners = [number for token in _list(tokens) for number in index.get(str(token), ())]
        if owners:
            return owners
    return []


def _list(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
