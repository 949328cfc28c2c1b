"""A part of SOQL: one object, its own fields, conditions joined by AND, an order, a limit."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from connectors.sandbox.salesforce.objects import OBJECTS
from connectors.sandbox.salesforce.org import SalesforceError

_TOKEN: Final = re.compile(r"\s*('(?:[^'\\]|\\.)*'|<=|>=|!=|[(),=<>]|[^\s(),=<>!']+)", re.DOTALL)
_ESCAPE: Final = re.compile(r"\\(.)")
_ESCAPES: Final = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}
Test = Callable[[Mapping[str, Any]], bool]


@dataclass(slots=True)
class Query:
    sobject: str
    fields: list[str]
    test: Test
    order: str | None
    limit: int | None
    counts: bool = False

    def rows(self, records: Mapping[str, dict[str, Any]], *, deleted: bool = False) -> list[dict[str, Any]]:
        found = [one for one in records.values() if (deleted or not one["IsDeleted"]) and self.test(one)]
        if self.order is not None:
            order = self.order
            found.sort(key=lambda one: str(one[order] or ""))
        return found[: self.limit]


def parse(text: str) -> Query:
    """Raises ``SalesforceError`` as Salesforce says it."""
    tokens = _Tokens(text)
    tokens.word("SELECT")
    fields = list(tokens.fields())
    tokens.word("FROM")
    given = tokens.take()
    sobject = next((name for name in OBJECTS if name.lower() == given.lower()), None)
    if sobject is None:
        raise SalesforceError("INVALID_TYPE", f"sObject type '{given}' is not supported.")
    tests: list[Test] = []
    if tokens.skip("WHERE"):
        tests.append(tokens.conditions(sobject))
    order = limit = None
    if tokens.skip("ORDER"):
        tokens.word("BY")
        order = column(sobject, tokens.take())
        tokens.skip("ASC")
    if tokens.skip("LIMIT"):
        limit = int(tokens.take())
    if tokens.left():
        raise malformed(f"unexpected token: '{tokens.take()}'")
    counts = fields == ["COUNT()"]
    if "FIELDS(ALL)" in fields:
        if limit is None or limit > 200:
            raise malformed("The SOQL FIELDS function must have a LIMIT of at most 200")
        fields = list(OBJECTS[sobject])
    names = [] if counts else [column(sobject, name) for name in fields]
    return Query(sobject, names, lambda one: all(test(one) for test in tests), order, limit, counts)


def column(sobject: str, name: str) -> str:
    found = next((one for one in OBJECTS[sobject] if one.lower() == name.lower()), None)
    if found is None:
        words = f"No such column '{name}' on entity '{sobject}'. If it is a custom field, append the '__c' to its name."
        raise SalesforceError("INVALID_FIELD", words)
    return found


def malformed(words: str) -> SalesforceError:
    return SalesforceError("MALFORMED_QUERY", words)


class _Tokens:
    def __init__(self, text: str) -> None:
        self._tokens: list[str] = []
        text = text.strip()
        place = 0
        while place < len(text):
            match = _TOKEN.match(text, place)
            if match is None:
                raise malformed(f"unexpected token: '{text[place : place + 20]}'")
            self._tokens.append(match[1])
            place = match.end()
        self._tokens.reverse()

    def left(self) -> bool:
        return bool(self._tokens)

    def take(self) -> str:
        if not self._tokens:
            raise malformed("unexpected token: '<EOF>'")
        return self._tokens.pop()

    def skip(self, word: str) -> bool:
        if self._tokens and self._tokens[-1].upper() == word:
            self._tokens.pop()
            return True
        return False

    def word(self, word: str) -> None:
        got = self.take()
        if got.upper() != word:
            raise malformed(f"unexpected token: '{got}'")

    def fields(self) -> Iterator[str]:
        while True:
            name = self.take()
            if name.upper() in {"FIELDS", "COUNT"} and self.skip("("):
                inside = "" if self.skip(")") else self.take().upper()
                if inside:
                    self.word(")")
                name = f"{name.upper()}({inside})"
            yield name
            if not self.skip(","):
                return

    def conditions(self, sobject: str) -> Test:
        tests = [self._condition(sobject)]
        while self.skip("AND"):
            tests.append(self._condition(sobject))
        return lambda one: all(test(one) for test in tests)

    def _condition(self, sobject: str) -> Test:
        if self.skip("("):
            inside = self.conditions(sobject)
            self.word(")")
            return inside
        name = column(sobject, self.take())
        kind = OBJECTS[sobject][name]["type"]
        operator = self.take().upper()
        if operator == "IN":
            self.word("(")
            values = [self._value(name, kind)]
            while self.skip(","):
                values.append(self._value(name, kind))
            self.word(")")
            return lambda one: any(_same(one[name], value) for value in values)
        value = self._value(name, kind)
        match operator:
            case "=":
                return lambda one: _same(one[name], value)
            case "!=":
                return lambda one: not _same(one[name], value)
            case ">" | ">=" | "<" | "<=":
                return lambda one: _compared(one[name], operator, value)
        raise malformed(f"unexpected token: '{operator}'")

    def _value(self, name: str, kind: str) -> Any:
        token = self.take()
        quoted = f"value of filter criterion for field '{name}' must be of type {kind} and should"
        if token.startswith("'"):
            if kind in {"int", "double", "currency", "boolean", "date", "datetime"}:
                raise SalesforceError("INVALID_FIELD", f"{quoted} not be enclosed in quotes")
            return _ESCAPE.sub(lambda match: _ESCAPES.get(match[1], match[1]), token[1:-1])
        if token.lower() in {"null", "true", "false"}:
            return {"null": None, "true": True, "false": False}[token.lower()]
        if kind in {"date", "datetime"}:
            return token
        if kind not in {"int", "double", "currency"}:
            raise SalesforceError("INVALID_FIELD", f"{quoted} be enclosed in quotes")
        return float(token)


def _same(stored: Any, value: Any) -> bool:
    if isinstance(stored, str) and isinstance(value, str):
        return stored.lower() == value.lower() or (len(value) == 15 and stored[:15] == value)
    return bool(stored == value)


def _compared(stored: Any, operator: str, value: Any) -> bool:
    if stored is None or value is None:
        return False
    if isinstance(stored, str) and "T" in stored and "T" in str(value):
        left, right = datetime.fromisoformat(stored).timestamp(), datetime.fromisoformat(str(value)).timestamp()
        stored, value = left, right
    return bool({">": stored > value, ">=": stored >= value, "<": stored < value, "<=": stored <= value}[operator])
